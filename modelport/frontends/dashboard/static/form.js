// The form of a call: fields, JSON and curl follow each other; what is wrong is told at its field.
import { grow, isDefault, read, restored, write } from "./arguments.js";
import { curlLine } from "./calling.js";
import { copy } from "./common.js";
import { parse, stringify } from "./exact.js";
import { Files } from "./files.js";

export class CallForm {
  /** page: the element with the address in its data. */
  constructor(page) {
    ({ url: this.url, origin: this.origin, token: this.token } = page.dataset);
    this.fields = this.parse(document.getElementById("field-data"));
    this.examples = this.parse(document.getElementById("example-data"));
    this.plain = this.fields.filter((field) => field.kind !== "file" && field.kind !== "files");
    this.form = document.getElementById("call");
    this.problem = document.getElementById("problem");
    this.json = document.getElementById("json");
    this.files = new Files(this.fields, () => this.refresh());
    this.listen();
    this.refresh();
  }

  parse(template) {
    return template ? parse(template.content.textContent) : [];
  }

  /** Show the values and files of an earlier call; what it left out is as it was at first. files: with their addresses. */
  async restore(values, files) {
    this.plain.filter((field) => field.kind !== "password").forEach((field) => write(field, restored(field, values[field.name])));
    await this.files.fetch(files);
    this.refresh();
  }

  /** Values of some fields; the rest stays as it is. */
  fill(values) {
    this.plain.filter((field) => field.name in values).forEach((field) => write(field, values[field.name]));
    this.refresh();
  }

  /** What an example is about. */
  async fillExample(number) {
    const example = this.examples[number];
    if (example) {
      this.fill(example.values);
      await this.files.fetch(example.files);
      this.refresh();
    }
  }

  /** Values by argument, without those that the module takes by itself; messages by argument where one cannot be read. */
  gather() {
    const values = {};
    const wrong = {};
    for (const field of this.plain) {
      try {
        const value = read(field);
        if (value !== undefined && !isDefault(field, value)) {
          values[field.name] = value;
        }
      } catch (error) {
        wrong[field.name] = [error.message];
      }
    }
    return { values, wrong };
  }

  refresh() {
    const { values } = this.gather();
    const line = curlLine(this.origin + this.url, values, this.files.chosen(), Boolean(this.token));
    document.getElementById("curl").textContent = line;
    if (document.activeElement !== this.json) {
      const all = Object.fromEntries(this.plain.map((field) => [field.name, valueOr(field)]).filter(([, value]) => value !== undefined));
      this.json.value = stringify(all, 2);
      document.getElementById("json-error").textContent = "";
    }
  }

  listen() {
    this.json.addEventListener("input", () => this.readJson());
    this.form.addEventListener("input", (event) => {
      grow(event.target);
      const slider = event.target.dataset.slider;
      if (slider) {
        document.getElementById(slider).value = event.target.value;
      }
      const twin = document.querySelector(`[data-slider="${event.target.id}"]`);
      if (twin) {
        twin.value = event.target.value;
      }
      if (event.target !== this.json) {
        this.refresh();
      }
    });
    this.form.addEventListener("reset", () =>
      setTimeout(() => {
        this.files.clear();
        this.clearErrors();
        this.refresh();
      }),
    );
    this.form.querySelectorAll("[data-example]").forEach((card) => card.addEventListener("click", () => this.fillExample(card.dataset.example)));
    document.getElementById("copy-curl").addEventListener("click", () => {
      const line = document.getElementById("curl").textContent;
      copy(this.token ? `TOKEN=${this.token}\n${line}` : line);
    });
  }

  readJson() {
    const told = document.getElementById("json-error");
    try {
      const values = parse(this.json.value);
      const known = new Set(this.plain.map((field) => field.name));
      const strange = Object.keys(values).filter((each) => !known.has(each));
      told.textContent = strange.length ? `Unknown arguments: ${strange.join(", ")}.` : "";
      this.plain.forEach((field) => write(field, values[field.name]));
      this.refresh();
    } catch (error) {
      told.textContent = `This is not JSON: ${error.message}`;
    }
  }

  /** {values, chosen} to be sent; null where something is missing or wrong, which is then told. */
  ready() {
    this.clearErrors();
    const { values, wrong } = this.gather();
    const chosen = this.files.chosen();
    for (const field of this.fields) {
      const given = field.name in values || chosen.some((each) => each.name === field.name);
      if (field.required && !given && !isDefault(field, valueOr(field) ?? null)) {
        wrong[field.name] ??= field.kind.startsWith("file") ? ["Choose a file."] : ["Required"];
      }
    }
    if (Object.keys(wrong).length) {
      this.showErrors("", wrong);
      return null;
    }
    return { values, chosen };
  }

  clearErrors() {
    this.problem.hidden = true;
    this.form.querySelectorAll(".error").forEach((each) => (each.textContent = ""));
    this.form.querySelectorAll("[aria-invalid]").forEach((each) => each.removeAttribute("aria-invalid"));
    this.form.querySelectorAll("[data-invalid]").forEach((each) => each.removeAttribute("data-invalid"));
  }

  showErrors(message, byName = {}) {
    const elsewhere = this.showAtFields(byName);
    const some = Object.keys(byName).length > elsewhere.length;
    this.problem.textContent = [some && !elsewhere.length ? "" : message, ...elsewhere].filter(Boolean).join(" ");
    this.problem.hidden = !this.problem.textContent;
  }

  /** Returns what is about no field of this form. */
  showAtFields(byName) {
    let first = null;
    const elsewhere = [];
    for (const [argument, messages] of Object.entries(byName)) {
      const field = this.fields.find((each) => each.name === argument);
      const text = flat(messages).join(" ");
      if (!field) {
        elsewhere.push(`${argument}: ${text}`);
        continue;
      }
      const element = document.getElementById(field.id);
      document.getElementById(`${field.id}-error`).textContent = text;
      element.setAttribute("aria-invalid", "true");
      element.closest("[data-drop]")?.setAttribute("data-invalid", "");
      first ??= element;
    }
    first?.focus();
    return elsewhere;
  }
}

function valueOr(field) {
  try {
    return read(field);
  } catch {
    return undefined;
  }
}

function flat(messages) {
  if (Array.isArray(messages)) {
    return messages.flatMap(flat);
  }
  if (messages && typeof messages === "object") {
    return Object.entries(messages).flatMap(([key, each]) => flat(each).map((text) => `${key}: ${text}`));
  }
  return [String(messages)];
}
