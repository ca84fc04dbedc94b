// Fields for files: chosen or dropped, with a preview.
import { photograph, record } from "./capture.js";
import { make } from "./common.js";
import { draw } from "./drawing.js";
import { download } from "./elsewhere.js";
import { soundView } from "./waveform.js";

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
    return soundView(blob, url, label);
  }
  if (type.startsWith("video/")) {
    return make("video", { src: url, controls: true, ariaLabel: label });
  }
  URL.revokeObjectURL(url);
  return null;
}

export class Files {
  constructor(fields, changed = () => {}) {
    this.fields = fields.filter((field) => field.kind === "file" || field.kind === "files");
    this.changed = changed;
    for (const field of this.fields) {
      this.prepare(field);
    }
    document.addEventListener("paste", (event) => this.paste(event));
  }

  /** [{name, file}] of all that is chosen. */
  chosen() {
    return this.fields.flatMap((field) => {
      const { files } = document.getElementById(field.id);
      return [...files].map((file) => ({ name: field.name, file }));
    });
  }

  /** Put files into a field, as if they had been chosen. */
  put(field, files) {
    const held = new DataTransfer();
    files.forEach((file) => held.items.add(file));
    document.getElementById(field.id).files = held.files;
    this.preview(field);
    this.changed();
  }

  /** files: [{argument, name, type, url, path}]; a field of which there is none is empty. What has been deleted is left out. */
  async fetch(files) {
    const got = await Promise.all(
      files.map(async ({ argument, name, type, url, path }) => {
        const response = await fetch(url).catch(() => null);
        const blob = response?.ok ? await response.blob() : null;
        // path: where the server has it, for a command that is run there.
        return blob && { argument, file: Object.assign(new File([blob], name.split("/").pop(), { type: type || blob.type }), { path }) };
      }),
    );
    for (const [index, field] of this.fields.entries()) {
      // A file of a bucket belongs to the first field.
      const own = got.filter((each) => each && (each.argument === field.name || (each.argument === "" && index === 0)));
      this.put(field, own.map((each) => each.file));
    }
  }

  clear() {
    this.fields.forEach((field) => this.preview(field));
  }

  /** Files in the clipboard go to the field that has the focus, or else to the first. */
  paste(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    const field = this.fields.find((each) => each.id === document.activeElement?.id) ?? this.fields[0];
    if (files.length && field) {
      event.preventDefault();
      this.put(field, field.kind === "files" ? files : files.slice(0, 1));
    }
  }

  prepare(field) {
    const input = document.getElementById(field.id);
    const place = input.closest("[data-drop]");
    input.addEventListener("change", () => {
      this.preview(field);
      this.changed();
    });
    for (const [name, begin] of Object.entries({ draw, photograph, record, download })) {
      document.querySelector(`[data-${name}="${field.id}"]`)?.addEventListener("click", () => begin((file) => this.put(field, [file]), input.accept));
    }
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
    player?.addEventListener("error", () => player.remove(), true); // those of a sound come from within
    return figure;
  }
}
