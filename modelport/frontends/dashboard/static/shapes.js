// Things found in a picture, in the forms in which models give them: boxes, outlines, masks and points.
import { maskOf } from "./masks.js";

const LABELS = ["name", "label", "class_name", "category", "class", "category_id", "class_id"];
const SCORES = ["confidence", "score", "probability", "prob"];
const LISTS = ["predictions", "detections", "objects", "boxes", "results", "instances", "annotations", "segments"];
const OUTLINES = ["segmentation", "polygon", "polygons", "points", "contour", "contours", "outline", "segments"];
const POINTS = ["keypoints", "landmarks"];
const MASKS = ["mask", "segmentation", "rle"];
// Lists of one part of each thing, beside each other.
const COLUMNS = { boxes: "box", masks: "mask", polygons: "polygon", keypoints: "keypoints", scores: "score", labels: "label", classes: "label" };
// The joints of COCO's people, by their numbers.
const BODY = [[15, 13], [13, 11], [16, 14], [14, 12], [11, 12], [5, 11], [6, 12], [5, 6], [5, 7], [6, 8], [7, 9], [8, 10], [1, 2], [0, 1], [0, 2], [1, 3], [2, 4], [3, 5], [4, 6]];

/**
 * [{x1, y1, x2, y2, boxed, outlines, points, links, mask, label, score}] where the answer holds such things; else null.
 *
 * boxed: whether a box was given; else the edges are those of the shape, and missing of a mask alone. outlines: [[[x, y]]].
 * points: [{x, y, name, seen}]. links: pairs of their numbers. mask: see maskOf. deep: also in a list within the answer.
 */
export function thingsOf(value, deep = true) {
  if (Array.isArray(value)) {
    return ofList(value);
  }
  if (value === null || typeof value !== "object") {
    return null;
  }
  const here = ofColumns(value) ?? (hasShape(value) ? ofList([value]) : null);
  return here ?? (deep ? LISTS.map((name) => (Array.isArray(value[name]) ? ofList(value[name]) : null)).find(Boolean) ?? null : null);
}

/** By names that mean nothing else: `points` may be those of a curve. */
function hasShape(value) {
  return ["segmentation", "polygon", ...POINTS, "mask"].some((name) => name in value);
}

function ofColumns(value) {
  const main = Object.keys(COLUMNS).find((name) => Array.isArray(value[name]) && compound(value[name][0]));
  if (!main || !["boxes", "masks", "polygons", "keypoints"].includes(main) || (main === "keypoints" && pointsOf(value.keypoints)) || isThing(value[main][0])) {
    return null;
  }
  const columns = Object.entries(COLUMNS).filter(([name]) => Array.isArray(value[name]));
  return ofList(value[main].map((_, at) => Object.fromEntries(columns.map(([name, part]) => [part, value[name][at]]))));
}

function compound(value) {
  return (typeof value === "object" && value !== null) || (typeof value === "string" && value.length > 100);
}

/** A whole thing, as an element of `boxes` may be, not one part of it. */
function isThing(value) {
  return !Array.isArray(value) && first(value, LABELS) !== undefined;
}

function ofList(list) {
  if (!list.length || !list.every((item) => item && typeof item === "object" && !Array.isArray(item))) {
    return null;
  }
  const boxes = list.map((item) => item.box ?? item.bbox ?? item.bounding_box ?? item);
  // Four numbers are corners, unless that would turn a box inside out, or COCO's own names say that they are a corner and a size.
  const corners = boxes.every((box) => !Array.isArray(box) || (box[2] > box[0] && box[3] > box[1])) && !list.some((item) => "category_id" in item);
  const things = list.map((item, at) => thing(item, edges(boxes[at], corners)));
  return things.every(Boolean) ? things : null;
}

function thing(item, box) {
  const outlines = part(item, OUTLINES, outlinesOf) ?? [];
  const points = part(item, POINTS, pointsOf) ?? [];
  const mask = outlines.length ? null : part(item, MASKS, maskOf);
  const boxed = box !== null && Object.values(box).every(Number.isFinite);
  const around = boxed ? box : bounds([...outlines.flat(), ...points.filter(({ seen }) => seen).map(({ x, y }) => [x, y])]);
  if (!around && !mask) {
    return null;
  }
  const links = Array.isArray(item.skeleton) ? item.skeleton.filter(Array.isArray) : points.length === 17 ? BODY : [];
  return { ...around, boxed, outlines, points, links, mask, label: first(item, LABELS) ?? "", score: number(first(item, SCORES)) };
}

function part(item, names, read) {
  for (const name of names) {
    const value = item[name] === undefined || item[name] === null ? null : read(item[name], name);
    if (value) {
      return value;
    }
  }
  return null;
}

function edges(box, corners) {
  if (Array.isArray(box)) {
    const [a, b, c, d] = box;
    return box.length === 4 ? (corners ? { x1: a, y1: b, x2: c, y2: d } : { x1: a, y1: b, x2: a + c, y2: b + d }) : null;
  }
  if (typeof box !== "object") {
    return null;
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
  return { x1: x, y1: y, x2: x + (box.width ?? box.w), y2: y + (box.height ?? box.h) };
}

/** One outline, or several of one thing: pairs, or COCO's numbers in a row. */
function outlinesOf(value, name) {
  const flat = name !== "points";
  const whole = pairs(value, flat);
  if (whole?.length > 2) {
    return [whole];
  }
  const parts = Array.isArray(value) ? value.map((inner) => pairs(inner, flat)) : [];
  return parts.length && parts.every((inner) => inner?.length > 2) ? parts : null;
}

/** [[x, y]] of pairs, of objects with x and y, of two lists, and, if `flat`, of numbers in a row; else null. */
function pairs(value, flat) {
  if (Array.isArray(value?.x) && Array.isArray(value.y)) {
    return pairs(value.x.map((x, at) => [x, value.y[at]]), false);
  }
  if (!Array.isArray(value) || !value.length) {
    return null;
  }
  if (flat && value.length % 2 === 0 && value.every(Number.isFinite)) {
    return Array.from({ length: value.length / 2 }, (_, at) => [value[2 * at], value[2 * at + 1]]);
  }
  const places = value.map((point) => (Array.isArray(point) ? [point[0], point[1]] : [point?.x, point?.y]));
  return places.every((pair, at) => pair.every(Number.isFinite) && !(value[at].length > 3)) ? places : null;
}

/** COCO's triples in a row (a third of 0: not there), triples, pairs, objects, or any of these by name. */
function pointsOf(value) {
  if (Array.isArray(value) && value.length % 3 === 0 && value.length && value.every(Number.isFinite) && value.every((third, at) => at % 3 !== 2 || third <= 2)) {
    return pointsOf(Array.from({ length: value.length / 3 }, (_, at) => value.slice(3 * at, 3 * at + 3)));
  }
  const named = value !== null && typeof value === "object" && !Array.isArray(value) && !Array.isArray(value.x);
  const list = named ? Object.values(value) : value;
  const places = pairs(list, true);
  if (!places) {
    return null;
  }
  const names = named ? Object.keys(value) : places.map((_, at) => first(list[at], LABELS) ?? String(at));
  const seen = (at) => (Array.isArray(list[at]) ? list[at][2] : (list[at]?.visibility ?? list.visible?.[at])) !== 0;
  return places.map(([x, y], at) => ({ x, y, name: String(names[at]), seen: seen(at) }));
}

function bounds(points) {
  if (!points.length) {
    return null;
  }
  const around = { x1: Infinity, y1: Infinity, x2: -Infinity, y2: -Infinity };
  for (const [x, y] of points) {
    Object.assign(around, { x1: Math.min(around.x1, x), y1: Math.min(around.y1, y), x2: Math.max(around.x2, x), y2: Math.max(around.y2, y) });
  }
  return around;
}

function first(thing, names) {
  const name = names.find((key) => typeof thing?.[key] === "string" || typeof thing?.[key] === "number");
  return name === undefined ? undefined : thing[name];
}

function number(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
