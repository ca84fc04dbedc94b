// Numbers of a training: those that it reports as it goes on, and those that it gives back in the end.
import { ask, make } from "./common.js";
import { chart, heatmap } from "./charts.js";

const POINTS = 5000;
const CHARTS = 12;
const TILES = 24;
// A training may report many times a second; its curves are asked for so often at most.
const LEAST_MS = 1000;

export class Metrics {
  constructor(panel, place, id) {
    this.panel = panel;
    this.id = id;
    this.tiles = make("dl", { className: "tiles" });
    this.charts = make("div", { className: "charts" });
    place.append(this.tiles, this.charts, (this.tables = make("div")));
    this.names = [];
    this.due = null;
    this.asked = -LEAST_MS;
  }

  /** Something has been reported, or may have been. */
  refresh() {
    this.due ??= setTimeout(() => {
      this.due = null;
      this.asked = performance.now();
      this.load().catch(() => {});
    }, Math.max(0, this.asked + LEAST_MS - performance.now()));
  }

  async load() {
    const { step, metrics } = await ask("GET", `/jobs/${this.id}/metrics`);
    this.names = Object.keys(metrics).slice(0, CHARTS);
    this.charts.replaceChildren(...this.names.map((name) => chart(name, [{ points: metrics[name], number: 1 }], step)));
    this.panel.hidden &&= !this.names.length;
  }

  /** What the training gave back: numbers as tiles, tables of rows that are alike, square tables of numbers as maps. */
  result(value) {
    if (value === null || typeof value !== "object" || Array.isArray(value)) {
      return;
    }
    const numbers = flat(value).slice(0, TILES);
    this.tiles.replaceChildren(...numbers.map(([name, number]) => make("div", {}, make("dt", {}, name), make("dd", {}, numberText(number)))));
    const lists = Object.entries(value).filter(([, each]) => isSeries(each));
    for (const [name, each] of lists.filter(([name]) => !this.names.includes(name)).slice(0, CHARTS - this.names.length)) {
      this.charts.append(chart(name, [{ points: each.map((number, index) => [index + 1, number]), number: 1 }], "step"));
    }
    this.tables.replaceChildren(...Object.entries(value).filter(([, each]) => isMatrix(each)).slice(0, 4).map(([name, each]) => heatmap(name.replaceAll("_", " "), each)));
    this.panel.hidden = !(numbers.length || lists.length || this.tables.childElementCount || this.names.length);
  }
}

/** [name, number] of an object, and of objects in it. */
function flat(value, before = "", depth = 0) {
  return Object.entries(value).flatMap(([name, each]) => {
    const whole = before + name.replaceAll("_", " ");
    if (typeof each === "number") {
      return [[whole, each]];
    }
    const inside = each !== null && typeof each === "object" && !Array.isArray(each) && depth < 2;
    return inside ? flat(each, `${whole} · `, depth + 1) : [];
  });
}

function isSeries(value) {
  return Array.isArray(value) && value.length > 1 && value.length <= POINTS && value.every((each) => Number.isFinite(each));
}

function isMatrix(value) {
  return Array.isArray(value) && value.length > 1 && value.length <= 60 && value.every((row) => isSeries(row) && row.length === value[0].length) && value[0].length <= 60;
}

function numberText(value) {
  return Number.isInteger(value) ? value.toLocaleString("en").replaceAll(",", "\u2009") : String(Number(value.toPrecision(5)));
}
