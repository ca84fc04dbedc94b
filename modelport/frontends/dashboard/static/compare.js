// Two runs beside each other: their pictures with a slider, their rows joined, their numbers with the change.
import { barsOf } from "./bars.js";
import { make } from "./common.js";
import { figure, isFigure, parse, stringify } from "./exact.js";
import { mediaIn } from "./media.js";
import { show } from "./results.js";
import { thingsOf } from "./shapes.js";
import { tableOf, tableOfCsv, tableView } from "./tables.js";

const { root } = document.body.dataset;
// Beyond these, results are shown beside each other only.
const SHOWN_BYTES = 30 << 20;
const MOST_VALUES = 500;
const DEEPEST = 6;
// Boxes that have more in common than not are of the same thing.
const LEAST_OVERLAP = 0.5;

/** {type, blob, response to be shown, value of JSON, table, picture}; null where the run has no result. */
async function resultOf({ id, succeeded, size_bytes }) {
  const response = succeeded && size_bytes <= SHOWN_BYTES ? await fetch(`${root}/jobs/${id}/result`).catch(() => null) : null;
  if (!response?.ok) {
    return null;
  }
  const kept = response.clone();
  const blob = await response.blob();
  const type = blob.type.split(";")[0];
  const text = type === "application/json" || type === "text/csv" ? await blob.text() : "";
  const json = type === "application/json" ? JSON.parse(text) : null;
  const value = json === null ? null : parse(text);
  const table = type === "text/csv" ? tableOfCsv(text) : value && (labelled(json) ?? tableOf(value));
  return { type, response: kept, value, table, boxes: json === null ? null : thingsOf(json), picture: pictureOf(type, blob, json) };
}

function pictureOf(type, blob, json) {
  if (type.startsWith("image/")) {
    return URL.createObjectURL(blob);
  }
  const media = json === null ? null : mediaIn(json).find((each) => each.media.type.startsWith("image/"));
  return media?.media.figure().querySelector("img").src ?? null;
}

/** Labels with probabilities as a table. */
function labelled(json) {
  const bars = barsOf(json);
  return bars && { columns: ["label", "probability"], rows: bars.map(([label, share]) => [label, figure(String(share))]) };
}

// Rows

/** Both as one table: by the first column whose values name the rows of each, or else row by row. */
function joined(one, other) {
  const columns = one.columns.filter((name) => other.columns.includes(name));
  if (!columns.length) {
    return null;
  }
  const key = columns.find((name) => names(one, name) && names(other, name));
  const [left, right] = [one, other].map((table) => new Map(table.rows.map((row, at) => [key === undefined ? String(at + 1) : String(row[table.columns.indexOf(key)]), row])));
  const values = columns.filter((name) => name !== key);
  const cell = (table, row, name) => row?.[table.columns.indexOf(name)];
  const numeric = values.filter((name) => [one, other].every((table) => table.rows.every((row) => isFigure(cell(table, row, name)))));
  const head = [key ?? "row", ...values.flatMap((name) => [`${name}, first`, `${name}, second`, ...(numeric.includes(name) ? [`${name}, change`] : [])])];
  const rows = [...new Set([...left.keys(), ...right.keys()])].map((id) => {
    const pair = (name) => [cell(one, left.get(id), name), cell(other, right.get(id), name)];
    const shown = values.flatMap((name) => [...pair(name), ...(numeric.includes(name) ? [change(...pair(name))] : [])]);
    return [key === undefined ? figure(id) : id, ...shown];
  });
  return { columns: head, rows };
}

/** Things found in a picture as one table: those that lie at the same place in one row. */
function matched(one, other) {
  const left = [...other];
  const pairs = one.map((box) => {
    const best = left.reduce((most, each) => (overlap(box, each) > overlap(box, most) ? each : most), left[0]);
    const same = best && overlap(box, best) >= LEAST_OVERLAP;
    return [box, same ? left.splice(left.indexOf(best), 1)[0] : undefined];
  });
  const rows = [...pairs, ...left.map((box) => [undefined, box])].map(([first, second], at) => {
    const scores = [first?.score, second?.score];
    return [at + 1, first?.label, second?.label, ...scores, change(...scores)];
  });
  return { columns: ["row", "label, first", "label, second", "confidence, first", "confidence, second", "confidence, change"], rows };
}

/** The share of the area of both that is common to them. */
function overlap(one, other) {
  const across = Math.max(0, Math.min(one.x2, other.x2) - Math.max(one.x1, other.x1));
  const down = Math.max(0, Math.min(one.y2, other.y2) - Math.max(one.y1, other.y1));
  const area = ({ x1, y1, x2, y2 }) => (x2 - x1) * (y2 - y1);
  return (across * down) / (area(one) + area(other) - across * down) || 0;
}

/** Whether a column's values are texts or whole numbers, each there once. */
function names(table, name) {
  const at = table.columns.indexOf(name);
  const values = table.rows.map((row) => row[at]);
  const whole = values.every((value) => typeof value === "string" || (isFigure(value) && /^-?\d+$/.test(String(value))));
  return whole && new Set(values.map(String)).size === values.length;
}

/** As exact as the numbers are; null where one is missing. */
function change(one, other) {
  if (!isFigure(one) || !isFigure(other)) {
    return null;
  }
  const [left, right] = [String(one), String(other)];
  const whole = [left, right].every((text) => /^-?\d+$/.test(text));
  return figure(whole ? String(BigInt(right) - BigInt(left)) : String(Number((Number(right) - Number(left)).toPrecision(12))));
}

// Single values

/** [[path, value]] of all that is no object and no list. */
function leaves(value, path = "", depth = 0) {
  if (value === null || typeof value !== "object" || isFigure(value) || depth === DEEPEST) {
    return [[path || "result", value]];
  }
  const entries = Array.isArray(value) ? value.map((each, at) => [`[${at}]`, each]) : Object.entries(value).map(([name, each]) => [path ? `.${name}` : name, each]);
  return entries.slice(0, MOST_VALUES).flatMap(([name, each]) => leaves(each, path + name, depth + 1));
}

function valuesView(one, other) {
  const [left, right] = [new Map(leaves(one)), new Map(leaves(other))];
  const paths = [...new Set([...left.keys(), ...right.keys()])];
  const different = paths.filter((path) => text(left.get(path)) !== text(right.get(path)));
  const rows = different.slice(0, MOST_VALUES).map((path) => [path, left.get(path), right.get(path), change(left.get(path), right.get(path))]);
  const title = paths.length === 1 ? `The value ${different.length ? "differs" : "is the same"}` : different.length ? `${different.length} of ${paths.length} values differ` : `All ${paths.length} values are the same`;
  const heading = make("h3", {}, title);
  return rows.length ? tableView({ columns: ["value", "first", "second", "change"], rows }, heading) : make("div", { className: "view" }, heading);
}

function text(value) {
  return value === undefined ? "" : stringify(value);
}

// Pictures

function slider(one, other) {
  const input = make("input", { type: "range", min: "0", max: "100", value: "50", id: "divide" });
  const first = make("img", { src: one, alt: "The first picture" });
  const second = make("img", { src: other, alt: "The second picture" });
  const frame = make("div", { className: "slid" }, second, first);
  const draw = () => {
    first.style.clipPath = `inset(0 ${100 - input.value}% 0 0)`;
    frame.style.setProperty("--at", `${input.value}%`);
  };
  input.addEventListener("input", draw);
  draw();
  const row = make("div", { className: "slider-row" }, make("label", { htmlFor: input.id }, "First | second"), input);
  return make("div", { className: "view" }, make("div", { className: "view-head" }, make("h3", {}, "Pictures"), row), frame);
}

// The page

function viewsOf(one, other) {
  const views = [];
  if (one.picture && other.picture) {
    views.push(slider(one.picture, other.picture));
  }
  const table = one.boxes && other.boxes ? matched(one.boxes, other.boxes) : one.table && other.table ? joined(one.table, other.table) : null;
  if (table) {
    views.push(tableView(table));
  } else if (one.value !== null && other.value !== null && !views.length) {
    views.push(valuesView(one.value, other.value));
  }
  return views;
}

async function begin() {
  const runs = parse(document.getElementById("runs-data").content.textContent);
  const results = await Promise.all(runs.map((run) => resultOf({ ...run, size_bytes: Number(String(run.size_bytes)) })));
  const differences = document.getElementById("differences");
  const views = results.every(Boolean) ? viewsOf(...results) : [];
  differences.replaceChildren(...(views.length ? views : [make("p", { className: "soft" }, results.every(Boolean) ? "These results can only be shown beside each other." : "Only runs that succeeded, with results that are not too large, can be compared.")]));
  runs.forEach(async (run, at) => {
    const place = document.getElementById(`result-${at}`);
    if (!results[at]) {
      place.replaceChildren(make("p", { className: run.error ? "notice bad" : "soft" }, run.error || "There is no result to show."));
      return;
    }
    const picture = run.picture ? await fetch(run.picture).catch(() => null) : null;
    const files = picture?.ok ? [{ name: "", file: await picture.blob() }] : [];
    await show(place, results[at].response, files);
  });
}

begin();
