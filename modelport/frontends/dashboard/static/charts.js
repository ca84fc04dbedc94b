// Small charts: a line over steps, a table of numbers as shades.
import { make } from "./common.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 360;
const HEIGHT = 110;

function draw(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [each, value] of Object.entries(attributes)) {
    made.setAttribute(each, value);
  }
  made.append(...children);
  return made;
}

const text = (value) => String(Number(value.toPrecision(4)));

/** A line. points: [[x, y]]. step: what x counts. */
export function chart(name, points, step) {
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [low, high] = [Math.min(...ys), Math.max(...ys)];
  const place = ([x, y]) => `${(((x - left) / (right - left || 1)) * (WIDTH - 8) + 4).toFixed(1)},${(HEIGHT - 6 - ((y - low) / (high - low || 1)) * (HEIGHT - 12)).toFixed(1)}`;
  const last = ys.at(-1);
  const svg = draw("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${name}: ${points.length} values from ${text(low)} to ${text(high)}, at last ${text(last)}` });
  svg.append(draw("path", { class: "ground", d: `M0 ${HEIGHT - 2}H${WIDTH}` }), draw("polyline", { class: "line-1", points: (points.length > 1 ? points : [points[0], [right + 1, last]]).map(place).join(" ") }));
  const legend = make("p", { className: "legend small" }, make("span", { className: "soft" }, `${text(low)} to ${text(high)}`), make("span", { className: "soft" }, `${step} ${text(left)} to ${text(right)}`));
  return make("figure", { className: "chart-figure" }, make("figcaption", {}, make("span", {}, name), make("strong", {}, text(last))), svg, legend);
}

/** A table of numbers, each cell the darker the larger it is. */
export function heatmap(name, rows) {
  const highest = Math.max(...rows.flat(), 0) || 1;
  const shade = (value) => `level-${Math.max(0, Math.min(9, Math.ceil((value / highest) * 9)))}`;
  const body = rows.map((row, index) => make("tr", {}, make("th", { scope: "row" }, String(index)), ...row.map((value) => make("td", { className: shade(value) }, text(value)))));
  const head = make("tr", {}, make("td"), ...rows[0].map((_, index) => make("th", { scope: "col" }, String(index))));
  const table = make("table", { className: "heat" }, make("caption", {}, name), make("thead", {}, head), make("tbody", {}, ...body));
  return make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: name }, table);
}
