// Masks: which pixels belong to a thing. A picture in base64, COCO's run lengths, or rows of numbers.
import { mediaOf } from "./media.js";

// Drawn no finer than this: a mask is a veil over the picture.
const SIDE_PX = 1024;
const LIMIT_PX = 64 << 20;
const VEIL = 0.45;

/** A function that reads it, {width, height, at(index)} by rows; null where the value is no mask. */
export function maskOf(value) {
  if (typeof value === "string") {
    const media = mediaOf(value);
    return media?.type.startsWith("image/") ? () => ofPicture(media.blob) : null;
  }
  if (Array.isArray(value)) {
    return ofRows(value);
  }
  const [height, width] = Array.isArray(value?.size) ? value.size : [];
  const counted = Array.isArray(value?.counts) || typeof value?.counts === "string";
  return counted && width > 0 && height > 0 && width * height <= LIMIT_PX ? () => ofRuns(value.counts, width, height) : null;
}

/** Whatever is more than half as bright as the brightest pixel; or as opaque, where some of it is transparent. */
async function ofPicture(blob) {
  const image = await createImageBitmap(blob);
  const { width, height } = fitted(image);
  const pen = new OffscreenCanvas(width, height).getContext("2d");
  pen.drawImage(image, 0, 0, width, height);
  const { data } = pen.getImageData(0, 0, width, height);
  const opaque = data.every((level, at) => at % 4 !== 3 || level === 255);
  const level = (index) => (opaque ? Math.max(data[index * 4], data[index * 4 + 1], data[index * 4 + 2]) : data[index * 4 + 3]);
  return { width, height, at: above(level, width * height) };
}

/** Numbers from 0 to 1, or 0 and 1; dimensions of one element around them do not count. */
function ofRows(value) {
  let rows = value;
  while (rows.length === 1 && Array.isArray(rows[0]?.[0])) {
    rows = rows[0];
  }
  const width = rows[0]?.length;
  const alike = rows.length > 1 && width > 1 && rows.every((row) => Array.isArray(row) && row.length === width && ["number", "boolean"].includes(typeof row[0]));
  return alike ? () => ({ width, height: rows.length, at: above((index) => Number(rows[Math.floor(index / width)][index % width]), width * rows.length) }) : null;
}

function above(level, count) {
  let most = 0;
  for (let index = 0; index < count; index += 1) {
    most = Math.max(most, level(index));
  }
  return (index) => most > 0 && level(index) > most / 2;
}

/** Runs of outside and inside, in turn, column by column. */
function ofRuns(counts, width, height) {
  const inside = new Uint8Array(width * height);
  let from = 0;
  (typeof counts === "string" ? lengths(counts) : counts).forEach((count, number) => {
    if (number % 2) {
      inside.fill(1, from, from + count);
    }
    from += count;
  });
  return { width, height, at: (index) => inside[(index % width) * height + Math.floor(index / width)] === 1 };
}

/** The numbers in COCO's text: five bits a character, least first, from the third on as the difference to the last but one. */
function lengths(text) {
  const runs = [];
  let at = 0;
  while (at < text.length) {
    let number = 0;
    let shift = 0;
    let code;
    do {
      code = text.charCodeAt(at) - 48;
      number |= (code & 0x1f) << shift;
      shift += 5;
      at += 1;
    } while (code & 0x20 && at < text.length);
    if (code & 0x10) {
      number |= -1 << shift;
    }
    runs.push(runs.length > 2 ? number + runs.at(-2) : number);
  }
  return runs;
}

function fitted({ width, height }) {
  const scale = Math.min(1, SIDE_PX / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

/** The address of a picture of it. colour: #rrggbb. */
export async function painted(read, colour) {
  const mask = await read();
  const { width, height } = fitted(mask);
  const sheet = new OffscreenCanvas(width, height);
  const pen = sheet.getContext("2d");
  const image = pen.createImageData(width, height);
  const levels = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  for (let y = 0; y < height; y += 1) {
    const row = Math.floor(((y + 0.5) / height) * mask.height) * mask.width;
    for (let x = 0; x < width; x += 1) {
      if (mask.at(row + Math.floor(((x + 0.5) / width) * mask.width))) {
        image.data.set([...levels, VEIL * 255], (y * width + x) * 4);
      }
    }
  }
  pen.putImageData(image, 0, 0);
  return URL.createObjectURL(await sheet.convertToBlob());
}
