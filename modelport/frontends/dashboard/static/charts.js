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

/** The least and the greatest of each place of points, which may be too many for the arguments of a call. */
function spread(points, at) {
  return points.reduce(([least, most], point) => [Math.min(least, point[at]), Math.max(most, point[at])], [Infinity, -Infinity]);
}

/** Lines over the same steps. lines: [{points: [[x, y]], number: of its colour, label: where there are several}]. step: what x counts. */
export function chart(name, lines, step) {
  const points = lines.flatMap((line) => line.points);
  const [left, right] = spread(points, 0);
  const [low, high] = spread(points, 1);
  const place = ([x, y]) => `${(((x - left) / (right - left || 1)) * (WIDTH - 8) + 4).toFixed(1)},${(HEIGHT - 6 - ((y - low) / (high - low || 1)) * (HEIGHT - 12)).toFixed(1)}`;
  const last = (line) => text(line.points.at(-1)[1]);
  const told = lines.map((line) => `${line.label ? `${line.label}: ` : ""}${line.points.length} values, at last ${last(line)}`).join("; ");
  const svg = draw("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${name}, from ${text(low)} to ${text(high)}. ${told}` });
  svg.append(draw("path", { class: "ground", d: `M0 ${HEIGHT - 2}H${WIDTH}` }));
  for (const { points: own, number } of lines) {
    // One alone is a short line.
    const drawn = own.length > 1 ? own : [own[0], [own[0][0] + (right - left || 1) / 20, own[0][1]]];
    svg.append(draw("polyline", { class: `curve-${number}`, points: drawn.map(place).join(" ") }));
  }
  const keys = lines.filter(({ label }) => label).map((line) => make("span", { className: `curve-${line.number}` }, `${line.label}: ${last(line)}`));
  const legend = make("p", { className: "legend small" }, ...keys, make("span", { className: "soft" }, `${text(low)} to ${text(high)}`), make("span", { className: "soft" }, `${step || "report"} ${text(left)} to ${text(right)}`));
  return make("figure", { className: "chart-figure" }, make("figcaption", {}, make("span", {}, name), ...(lines.length === 1 && !keys.length ? [make("strong", {}, last(lines[0]))] : [])), svg, legend);
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
