// Numbers in a row, over time where there is one: as lines, to be read off one by one.
import { make } from "./common.js";
import { COLOURS, drawn } from "./svg.js";

const LEAST = 3;
const MOST_LINES = 10;
const WIDTH = 720;
const HEIGHT = 220;
const EDGE = 6;
// More cannot be told apart in so many pixels.
const COLUMNS = 1000;
const TIMES = /^(?:time|times|timestamps?|dates?|datetime|ds|t)$/i;
// Numbers that count or name things have even steps, too, and are no axis.
const NAMES = /(?:^|[_ ])(?:id|index|idx|no|number|row|rank|class|label|page|line)$/i;
const DATE = /^\d{4}-\d\d(?:-\d\d)?(?:[T ]\d|$)/;
// Numbers that are seconds or milliseconds since 1970 are of this century.
const SECONDS = [9e8, 5e9];

/** {axis: {name, timed, values, texts}, lines: [{name, values}]} where the answer is such numbers; else null. texts: of the axis. */
export function seriesOf(value) {
  if (Array.isArray(value)) {
    return isNumbers(value) ? { axis: counted(value.length), lines: [{ name: "value", values: value }] } : ofRows(value);
  }
  if (value === null || typeof value !== "object") {
    return null;
  }
  const lists = Object.entries(value).filter(([, inner]) => Array.isArray(inner));
  const alike = lists.length > 0 && lists.every(([, list]) => list.length === lists[0][1].length);
  return alike ? ofColumns(lists, true) : null;
}

function ofRows(rows) {
  if (rows.length < LEAST || !rows.every((row) => row !== null && typeof row === "object" && !Array.isArray(row))) {
    return null;
  }
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return ofColumns(names.map((name) => [name, rows.map((row) => row[name] ?? null)]), false);
}

/** counts: whether the numbers may stand without a time. */
function ofColumns(columns, counts) {
  const timed = columns.find(([name, values]) => TIMES.test(name) && timesOf(name, values)) ?? (counts ? null : steps(columns));
  if (!timed && (!counts || !columns.every(([, values]) => isNumbers(values)))) {
    return null;
  }
  const axis = timed ? { ...timesOf(...timed), timed: TIMES.test(timed[0]) } : counted(columns[0][1].length);
  const lines = columns.filter((column) => column !== timed && isNumbers(column[1])).map(([name, values]) => ({ name, values }));
  return lines.length ? sorted({ axis, lines: lines.slice(0, MOST_LINES) }) : null;
}

function isNumbers(values) {
  return values.length >= LEAST && values.every((value) => value === null || Number.isFinite(value)) && values.filter((value) => value !== null).length >= LEAST;
}

/** The first column of numbers, if they have the same distance from each other and are no ids. */
function steps(columns) {
  const first = columns.find(([, values]) => isNumbers(values));
  return first && !NAMES.test(first[0]) && even(first[1]) ? first : null;
}

function even(values) {
  const step = values[1] - values[0];
  return step > 0 && values.every((value, at) => typeof value === "number" && (at === 0 || Math.abs(value - values[at - 1] - step) < step / 1e6));
}

function counted(length) {
  const values = Array.from({ length }, (_, at) => at);
  return { name: "", timed: false, values, texts: values.map((value) => String(value + 1)) };
}

/** An axis of dates, of seconds or milliseconds since 1970, or of plain numbers; null where it is none of them. */
function timesOf(name, values) {
  if (values.length >= LEAST && values.every((value) => typeof value === "string" && DATE.test(value))) {
    const times = values.map((value) => Date.parse(value));
    return times.every(Number.isFinite) ? { name, values: times, texts: values } : null;
  }
  if (values.length < LEAST || !values.every(Number.isFinite)) {
    return null;
  }
  const within = (unit) => values.every((value) => value >= SECONDS[0] * unit && value <= SECONDS[1] * unit);
  const unit = [1, 1000].find(within);
  const text = (value) => (unit ? new Date((value * 1000) / unit).toISOString().slice(0, 19).replace("T", " ") : String(value));
  return { name, values, texts: values.map(text) };
}

function sorted({ axis, lines }) {
  const order = axis.values.map((_, at) => at).sort((one, other) => axis.values[one] - axis.values[other]);
  const put = (values) => order.map((at) => values[at]);
  return { axis: { ...axis, values: put(axis.values), texts: put(axis.texts) }, lines: lines.map(({ name, values }) => ({ name, values: put(values) })) };
}

/** The view. */
export function seriesView({ axis, lines }) {
  const shown = new Set(lines);
  const svg = drawn("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  const scale = make("div", { className: "series-scale soft small", ariaHidden: "true" });
  const cursor = drawn("path", { class: "cursor" });
  const read = make("output", { className: "small" });
  const input = make("input", { type: "range", min: "0", max: String(axis.values.length - 1), value: "0", ariaLabel: "Read the values" });
  const [first, last] = [axis.values[0], axis.values.at(-1)];
  const across = (at) => ((axis.values[at] - first) / (last - first || 1)) * WIDTH;

  function draw() {
    const values = lines.filter((line) => shown.has(line)).flatMap((line) => line.values).filter((value) => value !== null);
    const [low, high] = values.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
    const down = (value) => HEIGHT - EDGE - ((value - low) / (high - low || 1)) * (HEIGHT - 2 * EDGE);
    const paths = lines.map((line, number) => (shown.has(line) ? drawn("path", { class: "line", d: pathOf(line.values, across, down), stroke: COLOURS[number] }) : ""));
    const rulers = drawn("path", { class: "ground", d: [0.25, 0.5, 0.75].map((share) => `M0 ${HEIGHT * share}H${WIDTH}`).join("") });
    svg.replaceChildren(rulers, cursor, ...paths);
    svg.setAttribute("aria-label", lines.map((line) => `${line.name}: ${line.values.length} values`).join(", ") + `, from ${short(low)} to ${short(high)}`);
    scale.replaceChildren(...[high, (high + low) / 2, low].map((value) => make("span", {}, short(value))));
  }

  function point() {
    const at = Number(input.value);
    cursor.setAttribute("d", `M${across(at).toFixed(1)} 0V${HEIGHT}`);
    const told = lines.filter((line) => shown.has(line)).map((line) => `${lines.length > 1 ? `${line.name} ` : ""}${line.values[at] ?? "–"}`);
    read.textContent = `${axis.name ? `${axis.name} ` : ""}${axis.texts[at]}: ${told.join(", ")}`;
    input.ariaValueText = read.textContent;
  }

  const switches = lines.map((line, number) => {
    const box = make("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => {
      box.checked ? shown.add(line) : shown.delete(line);
      draw();
      point();
    });
    const swatch = make("span", { className: "swatch" });
    swatch.style.background = COLOURS[number];
    return make("label", { className: "check small" }, box, make("span", {}, swatch, line.name));
  });
  svg.addEventListener("pointermove", (event) => {
    const { left, width } = svg.getBoundingClientRect();
    input.value = String(nearest(axis.values, first + ((event.clientX - left) / width) * (last - first)));
    point();
  });
  input.addEventListener("input", point);
  draw();
  point();
  const head = make("div", { className: "view-head" }, make("h3", {}, axis.timed ? "Time series" : "Series"), ...(lines.length > 1 ? [make("div", { className: "actions" }, ...switches)] : []));
  const ends = make("p", { className: "series-ends soft small" }, make("span", {}, axis.texts[0]), make("span", {}, axis.texts.at(-1)));
  return make("div", { className: "view series" }, head, make("div", { className: "series-plot" }, scale, svg), ends, input, make("p", {}, read));
}

/** A line with gaps where numbers are missing; of very many, the least and the most of each column. */
function pathOf(values, across, down) {
  const size = Math.max(1, Math.ceil(values.length / COLUMNS));
  let path = "";
  let pen = "M";
  for (let from = 0; from < values.length; from += size) {
    let [least, most] = [-1, -1];
    for (let at = from; at < Math.min(from + size, values.length); at += 1) {
      if (values[at] === null) {
        pen = "M";
      } else {
        least = least < 0 || values[at] < values[least] ? at : least;
        most = most < 0 || values[at] > values[most] ? at : most;
      }
    }
    for (const at of new Set([Math.min(least, most), Math.max(least, most)])) {
      if (at >= 0) {
        path += `${pen}${across(at).toFixed(1)} ${down(values[at]).toFixed(1)}`;
        pen = "L";
      }
    }
  }
  return path;
}

/** The index of the number that is nearest; they go up. */
function nearest(values, goal) {
  let [low, high] = [0, values.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    [low, high] = values[middle] < goal ? [middle, high] : [low, middle];
  }
  return goal - values[low] < values[high] - goal ? low : high;
}

function short(number) {
  return String(Number(number.toPrecision(4)));
}
