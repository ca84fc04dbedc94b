// Text as people read it, and its Markdown on a switch.
import { copy, make } from "./common.js";
import { markdown } from "./markdown.js";
import { atEnd } from "./printed.js";

/** A function that puts the values of a generator into `place` as they come, the first of an attempt in place of all else. */
export function streamed(place) {
  const text = make("pre", { className: "read", tabIndex: 0 });
  return ({ index, value }) => {
    if (index === 0 || !text.isConnected) {
      text.textContent = "";
      place.replaceChildren(text);
    }
    atEnd(text, () => text.append(typeof value === "string" ? value : `${JSON.stringify(value)}\n`));
  };
}

/** The view. formatted: whether it begins as Markdown. */
export function textView(text, { title = "Text", name = "result.txt", formatted = false } = {}) {
  const place = make("div");
  const box = make("input", { type: "checkbox", checked: formatted });
  const draw = () => place.replaceChildren(box.checked ? make("div", { className: "prose read" }, ...markdown(text)) : make("pre", { className: "read", tabIndex: 0 }, text));
  box.addEventListener("change", draw);
  draw();
  const copying = make("button", { type: "button", className: "button small" }, "Copy");
  copying.addEventListener("click", () => copy(text));
  const download = make("a", { className: "button small", href: URL.createObjectURL(new Blob([text], { type: "text/plain" })), download: name }, "Download");
  const actions = make("div", { className: "actions" }, make("label", { className: "check small" }, box, "Markdown"), copying, download);
  return make("div", { className: "view" }, make("div", { className: "view-head" }, make("h3", {}, title), actions), place);
}
