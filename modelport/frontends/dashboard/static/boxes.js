// Things found in a picture: boxes over it, a list beside it, and a slider that leaves out what is unsure.
import { make } from "./common.js";

const SVG = "http://www.w3.org/2000/svg";
const LABELS = ["name", "label", "class_name", "category", "class"];
const SCORES = ["confidence", "score", "probability", "prob"];
const LISTS = ["predictions", "detections", "objects", "boxes", "results", "instances"];
// Far apart for most eyes, and seen on light and dark.
const CROWD = 40;
export const COLOURS = ["#0b84a5", "#d1495b", "#6a994e", "#8e5bc2", "#e08e0b", "#00897b", "#b5446e", "#3f6fd9", "#7a6a00", "#5f6b76"];

/** [{x1, y1, x2, y2, label, score}] where the answer holds such things; else null. */
export function boxesOf(value) {
  if (Array.isArray(value)) {
    return fromObjects(value);
  }
  if (value === null || typeof value !== "object") {
    return null;
  }
  if (Array.isArray(value.boxes) && Array.isArray(value.boxes[0])) {
    const scores = value.scores ?? [];
    const labels = value.labels ?? value.classes ?? [];
    return fromObjects(value.boxes.map((box, index) => ({ box, score: scores[index], label: labels[index] ?? "" })));
  }
  for (const each of LISTS) {
    const inside = Array.isArray(value[each]) ? boxesOf(value[each]) : null;
    if (inside) {
      return inside;
    }
  }
  return null;
}

function fromObjects(list) {
  if (!list.length || !list.every((each) => each && typeof each === "object" && !Array.isArray(each))) {
    return null;
  }
  const raw = list.map((each) => each.box ?? each.bbox ?? each.bounding_box ?? each);
  // Four numbers are corners, unless that would turn a box inside out: then a corner and a size.
  const corners = raw.every((each) => !Array.isArray(each) || (each[2] > each[0] && each[3] > each[1]));
  const found = raw.map((each) => edges(each, corners));
  if (!found.every((box) => box && [box.x1, box.y1, box.x2, box.y2].every(Number.isFinite))) {
    return null;
  }
  return found.map((box, index) => ({ ...box, label: first(list[index], LABELS) ?? "", score: number(first(list[index], SCORES)) }));
}

function edges(box, corners) {
  if (Array.isArray(box)) {
    const [a, b, c, d] = box;
    return box.length === 4 ? (corners ? { x1: a, y1: b, x2: c, y2: d } : { x1: a, y1: b, x2: a + c, y2: b + d }) : null;
  }
  if ("x1" in box) {
    return { x1: box.x1, y1: box.y1, x2: box.x2, y2: box.y2 };
  }
  if ("xmin" in box) {
    return { x1: box.xmin, y1: box.ymin, x2: box.xmax, y2: box.ymax };
  }
  if ("left" in box && "right" in box) {
    return { x1: box.left, y1: box.top, x2: box.right, y2: box.bottom };
  }
  const x = box.x ?? box.left;
  const y = box.y ?? box.top;
  const width = box.width ?? box.w;
  const height = box.height ?? box.h;
  return { x1: x, y1: y, x2: x + width, y2: y + height };
}

function first(thing, names) {
  const name = names.find((each) => typeof thing[each] === "string" || typeof thing[each] === "number");
  return name === undefined ? undefined : thing[name];
}

function number(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** The view. image: the file that was looked at, where it was one. */
export function boxes(found, image) {
  const colours = new Map([...new Set(found.map((each) => String(each.label)))].map((label, index) => [label, COLOURS[index % COLOURS.length]]));
  const rows = found.map((each, index) => row(each, index, colours));
  const count = make("h3");
  const head = make("div", { className: "view-head" }, count);
  const view = make("div", { className: "view" }, head);
  const marks = [];
  if (image) {
    view.append(picture(image, found, colours, marks));
  }
  view.append(table(rows, found.some((each) => each.score !== null)));
  const filter = (least) => {
    let shown = 0;
    found.forEach((each, index) => {
      const hidden = each.score !== null && each.score < least;
      shown += !hidden;
      rows[index].hidden = hidden;
      marks[index]?.toggleAttribute("hidden", hidden);
    });
    count.textContent = shown === found.length ? `${found.length} found` : `${shown} of ${found.length} found`;
  };
  if (found.some((each) => each.score !== null)) {
    head.append(slider(filter));
  }
  filter(0);
  const light = (event) => {
    const index = event.target.closest("[data-index]")?.dataset.index;
    for (const each of [...rows, ...marks]) {
      each.classList.toggle("lit", each.dataset.index === index);
    }
  };
  view.addEventListener("pointerover", light);
  view.addEventListener("focusin", light);
  view.addEventListener("pointerleave", () => [...rows, ...marks].forEach((each) => each.classList.remove("lit")));
  return view;
}

function slider(filter) {
  const shown = make("output", {}, "0.00");
  const input = make("input", { type: "range", min: "0", max: "1", step: "0.01", value: "0", id: "least-confidence" });
  input.addEventListener("input", () => {
    shown.textContent = Number(input.value).toFixed(2);
    filter(Number(input.value));
  });
  return make("div", { className: "slider-row" }, make("label", { htmlFor: input.id }, "Confidence from"), input, shown);
}

function picture(image, found, colours, marks) {
  const img = make("img", { src: URL.createObjectURL(image), alt: `The picture that was sent, with ${found.length} boxes` });
  const frame = make("div", { className: "boxes" }, img);
  const groups = found.map((each, index) => group(each, index, colours));
  marks.push(...groups);
  img.addEventListener("load", () => {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("aria-hidden", "true");
    draw(svg, img, found, groups);
    frame.append(svg);
    new ResizeObserver(() => draw(svg, img, found, groups)).observe(img);
  });
  // What the browser cannot show has its list all the same.
  img.addEventListener("error", () => frame.remove());
  return frame;
}

function group(each, index, colours) {
  const made = document.createElementNS(SVG, "g");
  made.dataset.index = String(index);
  const rect = document.createElementNS(SVG, "rect");
  rect.setAttribute("stroke", colours.get(String(each.label)));
  const text = document.createElementNS(SVG, "text");
  text.textContent = String(each.label);
  made.append(rect, text);
  return made;
}

/** In pixels of the screen, so that lines and letters keep their size; boxes that go from 0 to 1 are shares. */
function draw(svg, img, found, groups) {
  const shares = found.every((each) => each.x2 <= 1 && each.y2 <= 1);
  const across = img.clientWidth / (shares ? 1 : img.naturalWidth);
  const down = img.clientHeight / (shares ? 1 : img.naturalHeight);
  groups.forEach((made, index) => {
    const { x1, y1, x2, y2 } = found[index];
    const [rect, text] = made.children;
    const place = { x: x1 * across, y: y1 * down, width: Math.max(0, (x2 - x1) * across), height: Math.max(0, (y2 - y1) * down) };
    for (const [name, value] of Object.entries(place)) {
      rect.setAttribute(name, value.toFixed(1));
    }
    text.setAttribute("x", (place.x + 2).toFixed(1));
    text.setAttribute("y", (place.y > 16 ? place.y - 4 : place.y + 13).toFixed(1));
    text.classList.remove("over");
  });
  svg.replaceChildren(...groups);
  hideOverlaps(groups);
}

/** Names that would lie on others, or in a crowd reach beyond their box, are shown when that is pointed at. */
function hideOverlaps(groups) {
  const taken = [];
  const texts = groups.map((made) => made.children[1]);
  const boxes = texts.map((text) => text.getBBox());
  texts.forEach((text, index) => {
    const { x, y, width, height } = boxes[index];
    const beyond = texts.length > CROWD && width > Number(groups[index].firstChild.getAttribute("width"));
    const over = beyond || taken.some((each) => x < each.x + each.width && each.x < x + width && y < each.y + each.height && each.y < y + height);
    text.classList.toggle("over", over);
    if (!over) {
      taken.push(boxes[index]);
    }
  });
}

function row(each, index, colours) {
  const swatch = make("span", { className: "swatch" });
  swatch.style.background = colours.get(String(each.label));
  const cells = [
    make("td", { className: "number soft" }, String(index + 1)),
    make("td", {}, swatch, String(each.label)),
    make("td", { className: "number" }, each.score === null ? "" : each.score.toFixed(3)),
    make("td", { className: "number soft" }, [each.x1, each.y1, each.x2, each.y2].map((edge) => Number(edge.toPrecision(4))).join(", ")),
  ];
  const made = make("tr", { tabIndex: 0 }, ...cells);
  made.dataset.index = String(index);
  return made;
}

function table(rows, scored) {
  const names = ["#", "Label", scored ? "Confidence" : "", "Box"];
  const head = make("tr", {}, ...names.map((name, index) => make("th", { scope: "col", className: index === 1 ? "" : "number" }, name)));
  const made = make("table", { className: "table" }, make("thead", {}, head), make("tbody", {}, ...rows));
  return make("div", { className: "found", tabIndex: 0, ariaLabel: "Objects found", role: "region" }, made);
}
