// A sound: its player, and under it how loud it is from beginning to end.
import { make } from "./common.js";
import { drawn } from "./svg.js";

const COLUMNS = 600;
const HALF = 40;
// A browser decodes a sound as a whole: an hour has 115 MB at this rate, which shows all that fits into the columns.
const RATE = 8000;
const LIMIT_S = 3600;
const LIMIT_BYTES = 64 << 20;

export function soundView(blob, url, label) {
  const player = make("audio", { src: url, controls: true, ariaLabel: label });
  const view = make("div", { className: "sound" }, player);
  player.addEventListener("loadedmetadata", async () => {
    if (blob.size <= LIMIT_BYTES && player.duration <= LIMIT_S) {
      const sound = await decoded(blob).catch(() => null);
      view.append(...(sound ? [waveform(sound, player)] : []));
    }
  });
  return view;
}

async function decoded(blob) {
  return new OfflineAudioContext(1, 1, RATE).decodeAudioData(await blob.arrayBuffer());
}

/** A click goes there. */
function waveform(sound, player) {
  const levels = peaks(sound);
  const d = levels.map((level, at) => `M${at + 0.5} ${(HALF - Math.max(0.5, level * HALF)).toFixed(1)}V${(HALF + Math.max(0.5, level * HALF)).toFixed(1)}`).join("");
  const heard = drawn("rect", { class: "heard", width: 0, height: 2 * HALF });
  const svg = drawn("svg", { class: "waveform", viewBox: `0 0 ${COLUMNS} ${2 * HALF}`, preserveAspectRatio: "none", role: "img" }, heard, drawn("path", { d }));
  svg.setAttribute("aria-label", `Waveform of ${sound.duration.toFixed(1)} s, ${sound.numberOfChannels === 1 ? "one channel" : `${sound.numberOfChannels} channels`}`);
  player.addEventListener("timeupdate", () => heard.setAttribute("width", String((player.currentTime / sound.duration) * COLUMNS)));
  svg.addEventListener("click", (event) => {
    const { left, width } = svg.getBoundingClientRect();
    player.currentTime = ((event.clientX - left) / width) * sound.duration;
  });
  return svg;
}

/** The loudest of each column, of all channels. */
function peaks(sound) {
  const levels = new Array(COLUMNS).fill(0);
  for (let channel = 0; channel < sound.numberOfChannels; channel += 1) {
    const samples = sound.getChannelData(channel);
    samples.forEach((sample, at) => {
      const column = Math.floor((at / samples.length) * COLUMNS);
      levels[column] = Math.max(levels[column], Math.abs(sample));
    });
  }
  return levels;
}
