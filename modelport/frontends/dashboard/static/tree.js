// JSON as a tree: branches are made when they are opened, so that a large answer costs nothing until then.
import { make } from "./common.js";
import { isFigure } from "./exact.js";
import { mediaOf } from "./media.js";

const OPEN_DEPTH = 2;
const OPEN_CHILDREN = 60;
const PAGE = 200;
const TEXT_CHARS = 400;

/** value: as exact.js parses it. */
export function tree(value) {
  return make("div", { className: "tree" }, node(null, value, 0));
}

function node(key, value, depth) {
  if (value === null || typeof value !== "object" || isFigure(value)) {
    return leaf(key, value);
  }
  const entries = Array.isArray(value) ? value.map((each, index) => [index, each]) : Object.entries(value);
  const count = `${entries.length} ${Array.isArray(value) ? (entries.length === 1 ? "item" : "items") : entries.length === 1 ? "member" : "members"}`;
  const summary = make("summary", {}, ...label(key), Array.isArray(value) ? "[ ] " : "{ } ", make("span", { className: "soft" }, count));
  const inside = make("div");
  const details = make("details", {}, summary, inside);
  details.addEventListener("toggle", () => details.open && !inside.hasChildNodes() && grow(inside, entries, depth));
  details.open = depth < OPEN_DEPTH && entries.length <= OPEN_CHILDREN;
  return details;
}

function grow(inside, entries, depth, from = 0) {
  inside.append(...entries.slice(from, from + PAGE).map(([key, value]) => node(key, value, depth + 1)));
  if (from + PAGE < entries.length) {
    const more = make("button", { type: "button", className: "link" }, `${entries.length - from - PAGE} more`);
    more.addEventListener("click", () => {
      more.remove();
      grow(inside, entries, depth, from + PAGE);
    });
    inside.append(more);
  }
}

function label(key) {
  return key === null ? [] : [make("span", { className: "key" }, String(key)), ": "];
}

function leaf(key, value) {
  if (typeof value !== "string") {
    const kind = isFigure(value) ? "figure" : "word";
    return make("div", {}, ...label(key), make("span", { className: kind }, String(value)));
  }
  const media = mediaOf(value);
  if (media) {
    return make("div", {}, ...label(key), make("span", { className: "soft" }, media.caption), media.figure());
  }
  const text = make("span", { className: "text" }, JSON.stringify(value.slice(0, TEXT_CHARS)) + (value.length > TEXT_CHARS ? " …" : ""));
  const line = make("div", {}, ...label(key), text);
  if (value.length > TEXT_CHARS) {
    const more = make("button", { type: "button", className: "link" }, `all ${value.length} characters`);
    more.addEventListener("click", () => {
      text.textContent = JSON.stringify(value);
      more.remove();
    });
    line.append(" ", more);
  }
  return line;
}
