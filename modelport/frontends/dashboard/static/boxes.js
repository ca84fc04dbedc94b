// Things found in a picture: drawn over it, a list beside it, and a slider that leaves out what is unsure.
import { make } from "./common.js";
import { painted } from "./masks.js";
import { COLOURS, drawn } from "./svg.js";
import { zoomable } from "./zoom.js";

const CROWD = 40;
// More would hold up the browser, and of one thing so many points.
const MOST = 2000;

/** The view, of the first MOST. all: see shapes.js. image: the file that was looked at, where it was one. */
export function boxes(all, image) {
  const things = all.slice(0, MOST);
  const colours = new Map([...new Set(things.map(({ label }) => String(label)))].map((label, index) => [label, COLOURS[index % COLOURS.length]]));
  const rows = things.map((thing, index) => row(thing, index, colours));
  const count = make("h3");
  const head = make("div", { className: "view-head" }, count);
  const view = make("div", { className: "view" }, head);
  const marks = [];
  if (image) {
    view.append(picture(image, things, colours, marks));
  }
  if (all.length > MOST) {
    view.append(make("p", { className: "soft" }, `Only the first ${MOST} are shown; ${all.length - MOST} are left out. The JSON has all.`));
  }
  view.append(table(rows, things));
  const filter = (least) => {
    let shown = 0;
    things.forEach(({ score }, index) => {
      const hidden = score !== null && score < least;
      shown += !hidden;
      rows[index].hidden = hidden;
      marks[index]?.whole.toggleAttribute("hidden", hidden);
    });
    count.textContent = shown === all.length ? `${shown} found` : `${shown} of ${all.length} found`;
  };
  if (things.some(({ score }) => score !== null)) {
    head.append(slider(filter));
  }
  filter(0);
  const light = (index) => [...rows, ...marks.map(({ whole }) => whole)].forEach((element) => element.classList.toggle("lit", element.dataset.index === index));
  const pointed = (event) => light(event.target.closest("[data-index]")?.dataset.index);
  view.addEventListener("pointerover", pointed);
  view.addEventListener("focusin", pointed);
  view.addEventListener("pointerleave", () => light(null));
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

function picture(image, things, colours, marks) {
  const title = `The picture that was sent, with ${things.length === 1 ? "what was found" : `${things.length} things that were found`}`;
  const img = make("img", { src: URL.createObjectURL(image), alt: title });
  const stage = make("div", { className: "boxes" }, img);
  marks.push(...things.map((thing, index) => mark(thing, index, colours.get(String(thing.label)))));
  img.addEventListener("load", () => {
    const svg = drawn("svg", { "aria-hidden": "true" }, marks.map(({ whole }) => whole));
    stage.append(svg);
    new ResizeObserver(() => place(img, things, marks)).observe(img);
  });
  const view = zoomable(stage, img, title);
  // What the browser cannot show has its list all the same.
  img.addEventListener("error", () => view.remove());
  return view;
}

/** One thing over the picture: `whole` with a box and a name, in pixels of the screen, and `shapes` in those of the picture. */
function mark(thing, index, colour) {
  const shapes = [];
  if (thing.mask) {
    const veil = drawn("image", { preserveAspectRatio: "none", class: "veil" });
    // What is no mask after all leaves the rest as it is.
    painted(thing.mask, colour).then((url) => veil.setAttribute("href", url), () => veil.remove());
    shapes.push(veil);
  }
  if (thing.outlines.length) {
    const d = thing.outlines.map((outline) => `M${outline.map((pair) => pair.join(" ")).join("L")}Z`).join("");
    shapes.push(drawn("path", { d, class: "outline", stroke: colour, fill: colour, "fill-rule": "evenodd" }));
  }
  if (thing.points.length) {
    shapes.push(drawn("path", { d: bones(thing), class: "bones", stroke: colour }), ...thing.points.slice(0, MOST).filter(({ seen }) => seen).map((point) => joint(point, colour)));
  }
  const rect = thing.boxed ? [drawn("rect", { stroke: colour })] : [];
  const text = drawn("text", {}, String(thing.label));
  return { whole: drawn("g", { "data-index": index }, ...shapes, ...rect, text), shapes, rect: rect[0], text };
}

function bones({ points, links }) {
  const ends = links.map(([from, to]) => [points[from], points[to]]).filter(([from, to]) => from?.seen && to?.seen);
  return ends.map(([from, to]) => `M${from.x} ${from.y}L${to.x} ${to.y}`).join("");
}

/** A line without length, whose round ends keep their size at any scale. */
function joint({ x, y, name }, colour) {
  return drawn("path", { d: `M${x} ${y}h0`, class: "joint", stroke: colour }, drawn("title", {}, name));
}

/** Lines and letters keep their size; what goes from 0 to 1 is shares. */
function place(img, things, marks) {
  const shares = things.every(({ x2, y2 }) => x2 === undefined || (x2 <= 1 && y2 <= 1));
  const [width, height] = shares ? [1, 1] : [img.naturalWidth, img.naturalHeight];
  const [across, down] = [img.clientWidth / width, img.clientHeight / height];
  marks.forEach(({ shapes, rect, text }, index) => {
    const { x1, y1, x2, y2 } = things[index];
    shapes.forEach((shape) => shape.setAttribute("transform", `scale(${across} ${down})`));
    shapes.filter((shape) => shape.matches(".veil")).forEach((veil) => set(veil, { width, height }));
    if (rect) {
      set(rect, { x: x1 * across, y: y1 * down, width: Math.max(0, (x2 - x1) * across), height: Math.max(0, (y2 - y1) * down) });
    }
    if (x1 !== undefined) {
      set(text, { x: x1 * across + 2, y: y1 * down > 16 ? y1 * down - 4 : y1 * down + 13 });
    }
    text.classList.remove("over");
  });
  hideOverlaps(things.map(({ x1, x2 }) => (x2 - x1) * across), marks);
}

function set(element, numbers) {
  Object.entries(numbers).forEach(([name, value]) => element.setAttribute(name, String(Math.round(value * 10) / 10)));
}

/** Names that would lie on others, or in a crowd reach beyond their thing, are shown when that is pointed at. */
function hideOverlaps(widths, marks) {
  const taken = [];
  const boxes = marks.map(({ text }) => text.getBBox());
  marks.forEach(({ text }, index) => {
    const { x, y, width, height } = boxes[index];
    const beyond = marks.length > CROWD && width > widths[index];
    const over = beyond || taken.some((other) => x < other.x + other.width && other.x < x + width && y < other.y + other.height && other.y < y + height);
    text.classList.toggle("over", over);
    if (!over) {
      taken.push(boxes[index]);
    }
  });
}

function row(thing, index, colours) {
  const swatch = make("span", { className: "swatch" });
  swatch.style.background = colours.get(String(thing.label));
  const edges = [thing.x1, thing.y1, thing.x2, thing.y2].filter((edge) => edge !== undefined);
  const cells = [
    make("td", { className: "number soft" }, String(index + 1)),
    make("td", {}, swatch, String(thing.label)),
    make("td", { className: "number" }, thing.score === null ? "" : thing.score.toFixed(3)),
    make("td", { className: "number soft" }, edges.map((edge) => Number(edge.toPrecision(4))).join(", ")),
  ];
  const made = make("tr", { tabIndex: 0 }, ...cells);
  made.dataset.index = String(index);
  return made;
}

function table(rows, things) {
  const names = ["#", "Label", things.some(({ score }) => score !== null) ? "Confidence" : "", "Box"];
  const head = make("tr", {}, ...names.map((name, index) => make("th", { scope: "col", className: index === 1 ? "" : "number" }, name)));
  const made = make("table", { className: "table" }, make("thead", {}, head), make("tbody", {}, rows));
  return make("div", { className: "found", tabIndex: 0, ariaLabel: "Objects found", role: "region" }, made);
}
