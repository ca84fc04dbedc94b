// GeoJSON as an outline: no map below it, for that would have to come from elsewhere.
import { make } from "./common.js";
import { COLOURS, drawn } from "./svg.js";
import { tableOf, tableView } from "./tables.js";
import { zoomable } from "./zoom.js";

const SIZE = 600;
const EDGE = 12;
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
    return (geometry.geometries ?? []).flatMap(positions);
  }
  const flat = (list) => (Number.isFinite(list?.[0]) ? [list] : Array.isArray(list) ? list.flatMap(flat) : []);
  return flat(geometry?.coordinates).filter(([, y]) => Number.isFinite(y));
}

/** The view. exact: the answer with the digits that were sent, for the table of properties. */
export function geoView(features, exact) {
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
    return drawn("g", {}, ...(name === undefined ? [] : [drawn("title", {}, String(name))]), ...shapesOf(geometry, put, colour));
  });
  const [width, height] = [(right - left) * narrow * scale + 2 * EDGE, (top - bottom) * scale + 2 * EDGE];
  const where = degrees ? `longitude ${short(left)} to ${short(right)}, latitude ${short(bottom)} to ${short(top)}` : `x ${short(left)} to ${short(right)}, y ${short(bottom)} to ${short(top)}`;
  const title = `${features.length} ${features.length === 1 ? "feature" : "features"}`;
  const svg = drawn("svg", { class: "geo", viewBox: `0 0 ${width.toFixed(1)} ${height.toFixed(1)}`, width: width.toFixed(0), role: "img", "aria-label": `${title}, ${where}` }, ...shapes);
  const table = tableOf(inside(exact).map(({ properties }) => properties));
  const head = make("div", { className: "view-head" }, make("h3", {}, title), make("span", { className: "soft small" }, where));
  const map = make("div", { className: "view" }, head, zoomable(make("div", { className: "map" }, svg), svg, title));
  return table ? make("div", {}, map, tableView(table)) : map;
}

function shapesOf(geometry, put, colour) {
  const { type, coordinates } = geometry ?? {};
  const ring = (list, end) => `M${list.map(put).join("L")}${end}`;
  const many = type?.startsWith("Multi") ? coordinates : [coordinates];
  switch (type?.replace("Multi", "")) {
    case "GeometryCollection":
      return (geometry.geometries ?? []).flatMap((part) => shapesOf(part, put, colour));
    case "Point":
      return [drawn("path", { class: "joint", stroke: colour, d: many.map((point) => `M${put(point)}h0`).join("") })];
    case "LineString":
      return [drawn("path", { class: "bones", stroke: colour, d: many.map((line) => ring(line, "")).join("") })];
    case "Polygon":
      return [drawn("path", { class: "outline", stroke: colour, fill: colour, "fill-rule": "evenodd", d: many.flat().map((line) => ring(line, "Z")).join("") })];
    default:
      return [];
  }
}

function short(number) {
  return String(Number(number.toFixed(4)));
}
