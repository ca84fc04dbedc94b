// Fields for files: chosen or dropped, with a preview.
import { make } from "./common.js";

const UNITS = ["B", "KiB", "MiB", "GiB"];

export function sizeText(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit && value < 100 ? value.toPrecision(3) : Math.round(value)} ${UNITS[unit]}`;
}

/** An element that shows a file as what it is; null where a browser cannot. */
export function playerOf(blob, type, label) {
  const url = URL.createObjectURL(blob);
  if (type.startsWith("image/")) {
    return make("img", { src: url, alt: label });
  }
  if (type.startsWith("audio/")) {
    return make("audio", { src: url, controls: true, ariaLabel: label });
  }
  if (type.startsWith("video/")) {
    return make("video", { src: url, controls: true, ariaLabel: label });
  }
  URL.revokeObjectURL(url);
  return null;
}

export class Files {
  constructor(fields, changed) {
    this.fields = fields.filter((field) => field.kind === "file" || field.kind === "files");
    this.changed = changed;
    for (const field of this.fields) {
      this.prepare(field);
    }
  }

  /** [{name, file}] of all that is chosen. */
  chosen() {
    return this.fields.flatMap((field) => {
      const { files } = document.getElementById(field.id);
      return [...files].map((file) => ({ name: field.name, file }));
    });
  }

  clear() {
    this.fields.forEach((field) => this.preview(field));
  }

  prepare(field) {
    const input = document.getElementById(field.id);
    const place = input.closest("[data-drop]");
    input.addEventListener("change", () => {
      this.preview(field);
      this.changed();
    });
    // The input lies over its whole place, so a drop is the browser's own; this only shows where it will land.
    for (const [event, over] of [["dragenter", true], ["dragleave", false], ["drop", false]]) {
      place.addEventListener(event, () => place.classList.toggle("over", over));
    }
  }

  preview(field) {
    const place = document.getElementById(`${field.id}-preview`);
    const input = document.getElementById(field.id);
    place.querySelectorAll("[src]").forEach((each) => URL.revokeObjectURL(each.src));
    place.replaceChildren(...[...input.files].slice(0, 12).map((file) => this.figure(file)));
    if (input.files.length) {
      const clear = make("button", { type: "button", className: "link small", textContent: "Remove" });
      clear.addEventListener("click", () => {
        input.value = "";
        this.preview(field);
        this.changed();
        input.focus();
      });
      place.append(clear);
    }
  }

  figure(file) {
    const player = playerOf(file, file.type, file.name);
    const figure = make("figure", {}, ...(player ? [player] : []), make("figcaption", {}, `${file.name}, ${sizeText(file.size)}`));
    // A picture that the browser cannot show (TIFF) is named only.
    player?.addEventListener("error", () => player.remove());
    return figure;
  }
}
