// GeoJSON as an outline: no map below it, for that would have to come from elsewhere.
import { make } from "./common.js";
import { COLOURS, drawn } from "./svg.js";
import { tableOf, tableView } from "./tables.js";
import { zoomable } from "./zoom.js";

const SIZE = 600;
const EDGE = 12;
// More would hold up the browser.
const MOST = 5000;
const GEOMETRIES = ["Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection"];
const NAMES = ["name", "NAME", "title", "label", "id"];

/** [{geometry, properties}] where the answer is GeoJSON with something to draw; else null. */
export function featuresOf(value) {
  const features = inside(value).filter(({ geometry }) => positions(geometry).length);
  return features.length ? features : null;
}

function inside(value) {
  if (value?.type === "FeatureCollection" && Array.isArray(value.features)) {
    return value.features.flatMap(inside);
  }
  if (value?.type === "Feature") {
    return [{ geometry: value.geometry, properties: value.properties ?? {} }];
  }
  return GEOMETRIES.includes(value?.type) && (value.coordinates || value.geometries) ? [{ geometry: value, properties: {} }] : [];
}

/** All [x, y] of a geometry. */
function positions(geometry) {
  if (geometry?.type === "GeometryCollection") {
    return partsOf(geometry).flatMap(positions);
  }
  const { coordinates } = geometry ?? {};
  return isPosition(coordinates) ? [coordinates] : linesOf(coordinates).flat();
}

function partsOf({ geometries }) {
  return Array.isArray(geometries) ? geometries : [];
}

function isPosition(value) {
  return Array.isArray(value) && Number.isFinite(value[0]) && Number.isFinite(value[1]);
}

/** All lists of [x, y], however deep they lie. */
function linesOf(list) {
  if (!Array.isArray(list)) {
    return [];
  }
  return list.some(isPosition) ? [list.filter(isPosition)] : list.flatMap(linesOf);
}

/** The view, of the first MOST. found: see featuresOf. exact: the answer with the digits that were sent, for the table of properties. */
export function geoView(found, exact) {
  const features = found.slice(0, MOST);
  const all = features.flatMap(({ geometry }) => positions(geometry));
  const [left, bottom, right, top] = all.reduce(([a, b, c, d], [x, y]) => [Math.min(a, x), Math.min(b, y), Math.max(c, x), Math.max(d, y)], [Infinity, Infinity, -Infinity, -Infinity]);
  // Degrees of longitude are shorter away from the equator; beyond these numbers they are no degrees.
  const degrees = left >= -180 && right <= 180 && bottom >= -90 && top <= 90;
  const narrow = degrees ? Math.max(0.1, Math.cos((((bottom + top) / 2) * Math.PI) / 180)) : 1;
  const scale = (SIZE - 2 * EDGE) / Math.max((right - left) * narrow, top - bottom, 1e-9);
  const put = ([x, y]) => `${((x - left) * narrow * scale + EDGE).toFixed(2)} ${((top - y) * scale + EDGE).toFixed(2)}`;
  const shapes = features.map(({ geometry, properties }, number) => {
    const colour = COLOURS[number % COLOURS.length];
    const name = NAMES.map((key) => properties[key]).find((text) => text !== undefined && text !== null);
    return drawn("g", {}, ...(name === undefined ? [] : [drawn("title", {}, String(name))]), shapesOf(geometry, put, colour));
  });
  const [width, height] = [(right - left) * narrow * scale + 2 * EDGE, (top - bottom) * scale + 2 * EDGE];
  const where = degrees ? `longitude ${short(left)} to ${short(right)}, latitude ${short(bottom)} to ${short(top)}` : `x ${short(left)} to ${short(right)}, y ${short(bottom)} to ${short(top)}`;
  const title = `${found.length} ${found.length === 1 ? "feature" : "features"}`;
  const svg = drawn("svg", { class: "geo", viewBox: `0 0 ${width.toFixed(1)} ${height.toFixed(1)}`, width: width.toFixed(0), role: "img", "aria-label": `${title}, ${where}` }, shapes);
  const table = tableOf(inside(exact).map(({ properties }) => properties));
  const head = make("div", { className: "view-head" }, make("h3", {}, title), make("span", { className: "soft small" }, where));
  const rest = found.length > MOST ? [make("p", { className: "soft" }, `Only the first ${MOST} are drawn; ${found.length - MOST} are left out.`)] : [];
  const map = make("div", { className: "view" }, head, rest, zoomable(make("div", { className: "map" }, svg), svg, title));
  return table ? make("div", {}, map, tableView(table)) : map;
}

function shapesOf(geometry, put, colour) {
  const { type, coordinates } = geometry ?? {};
  const paths = (end) => linesOf(coordinates).map((list) => `M${list.map(put).join("L")}${end}`).join("");
  switch (String(type).replace("Multi", "")) {
    case "GeometryCollection":
      return partsOf(geometry).flatMap((part) => shapesOf(part, put, colour));
    case "Point":
      return [drawn("path", { class: "joint", stroke: colour, d: positions(geometry).map((point) => `M${put(point)}h0`).join("") })];
    case "LineString":
      return [drawn("path", { class: "bones", stroke: colour, d: paths("") })];
    case "Polygon":
      return [drawn("path", { class: "outline", stroke: colour, fill: colour, "fill-rule": "evenodd", d: paths("Z") })];
    default:
      return [];
  }
}

function short(number) {
  return String(Number(number.toFixed(4)));
}
