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

/** What a text holds, if it is a file in base64; else null. */
export function mediaOf(text) {
  if (text.length < LEAST_CHARS || !/^[A-Za-z0-9+/\s]+=*\s*$/.test(text.slice(0, 200) + text.slice(-4))) {
    return null;
  }
  const found = BEGINNINGS.find(([beginning]) => text.startsWith(beginning)) ?? riff(text) ?? mp4(text);
  if (!found) {
    return null;
  }
  let bytes;
  try {
    bytes = Uint8Array.from(atob(text.replace(/\s/g, "")), (each) => each.charCodeAt(0));
  } catch {
    return null;
  }
  const [, type, suffix] = found;
  const blob = new Blob([bytes], { type });
  return { caption: `${type}, ${sizeText(bytes.length)}`, figure: () => figureOf(blob, type, `result.${suffix}`) };
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
  player?.addEventListener("error", () => player.remove());
  return make("figure", {}, ...(player ? [player] : []), link);
}
