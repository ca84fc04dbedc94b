// Pictures, sounds and films that lie in JSON as base64.
import { make } from "./common.js";
import { playerOf, sizeText } from "./files.js";

// How the base64 of a file begins.
const BEGINNINGS = [
  ["iVBORw0KGgo", "image/png", "png"],
  ["/9j/", "image/jpeg", "jpg"],
  ["R0lGODdh", "image/gif", "gif"],
  ["R0lGODlh", "image/gif", "gif"],
  ["JVBERi0", "application/pdf", "pdf"],
  ["T2dnUw", "audio/ogg", "ogg"],
  ["SUQz", "audio/mpeg", "mp3"],
  ["ZkxhQ", "audio/flac", "flac"],
  ["GkXfo", "video/webm", "webm"],
];
const LEAST_CHARS = 60;
const DATA = /^data:([\w.+-]+\/[\w.+-]+)?(?:;[\w.+-]+=[\w.+-]+)*;base64,/i;

/** What a text holds, if it is a file in base64, as it is or in a data: URL: {type, blob, caption, figure()}; else null. */
export function mediaOf(given) {
  const url = DATA.exec(given.slice(0, 200));
  const text = url ? given.slice(url[0].length) : given;
  if (text.length < LEAST_CHARS || !/^[A-Za-z0-9+/\s]+=*\s*$/.test(text.slice(0, 200) + text.slice(-4))) {
    return null;
  }
  // SVG has no beginning of its own; as a picture it runs no script.
  const drawing = url?.[1]?.toLowerCase() === "image/svg+xml" ? ["", "image/svg+xml", "svg"] : null;
  let found;
  let bytes;
  try {
    found = BEGINNINGS.find(([beginning]) => text.startsWith(beginning)) ?? riff(text) ?? mp4(text) ?? drawing;
    if (!found) {
      return null;
    }
    bytes = Uint8Array.from(atob(text.replace(/\s/g, "")), (each) => each.charCodeAt(0));
  } catch {
    return null;
  }
  const [, type, suffix] = found;
  const blob = new Blob([bytes], { type });
  return { type, blob, caption: `${type}, ${sizeText(bytes.length)}`, figure: () => figureOf(blob, type, `result.${suffix}`) };
}

function riff(text) {
  if (!text.startsWith("UklGR")) {
    return null;
  }
  const kind = atob(text.slice(0, 16)).slice(8, 12);
  return { WEBP: ["", "image/webp", "webp"], WAVE: ["", "audio/wav", "wav"], "AVI ": ["", "video/x-msvideo", "avi"] }[kind] ?? null;
}

function mp4(text) {
  return text.startsWith("AAAA") && atob(text.slice(0, 12)).slice(4, 8) === "ftyp" ? ["", "video/mp4", "mp4"] : null;
}

function figureOf(blob, type, name) {
  const player = playerOf(blob, type, name);
  const link = make("a", { href: URL.createObjectURL(blob), download: name, textContent: "Download" });
  player?.addEventListener("error", () => player.remove(), true);
  return make("figure", {}, ...(player ? [player] : []), link);
}

const MOST = 12;
const PLAYED = /^(?:image|audio|video)\//;
const LOOKED_AT = 2000;

/** Pictures, sounds and films that lie in JSON: [{name, media}], by where they lie, four deep at most. */
export function mediaIn(value) {
  const found = [];
  let left = LOOKED_AT;
  const look = (each, name, depth) => {
    left -= 1;
    if (left < 0 || found.length === MOST) {
      return;
    }
    if (typeof each === "string") {
      const media = mediaOf(each);
      if (media && PLAYED.test(media.type)) {
        found.push({ name, media });
      }
    } else if (each !== null && typeof each === "object" && depth < 4) {
      for (const [key, inside] of Object.entries(each)) {
        look(inside, name ? `${name} · ${key}` : key, depth + 1);
      }
    }
  };
  look(value, "", 0);
  return found;
}

/** The view: side by side, each with its name. */
export function gallery(found) {
  const figures = found.map(({ name, media }) => {
    const figure = media.figure();
    figure.prepend(make("figcaption", {}, make("strong", {}, name || "result"), " ", make("span", { className: "soft small" }, media.caption)));
    return figure;
  });
  const pictures = found.every(({ media }) => media.type.startsWith("image/"));
  const title = pictures ? (found.length === 1 ? "Picture" : "Pictures") : "Media";
  return make("div", { className: "view" }, make("div", { className: "view-head" }, make("h3", {}, title)), make("div", { className: "gallery" }, ...figures));
}
