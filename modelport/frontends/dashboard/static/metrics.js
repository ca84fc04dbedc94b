// Numbers of a training: those that it prints as JSON, line by line, and those that it gives back in the end.
import { make } from "./common.js";
import { chart, heatmap } from "./charts.js";

const POINTS = 5000;
const CHARTS = 12;
const TILES = 24;
// What counts steps is where the others are drawn over.
const STEPS = ["epoch", "step", "iteration", "iter", "batch"];

export class Metrics {
  constructor(panel, place) {
    this.panel = panel;
    this.tiles = make("dl", { className: "tiles" });
    this.charts = make("div", { className: "charts" });
    place.append(this.tiles, this.charts, (this.tables = make("div")));
    this.clear();
  }

  clear() {
    this.series = new Map(); // name → [[x, y]]
    this.count = 0;
    this.drawing = false;
    this.charts.replaceChildren();
  }

  /** A line of the log: {"epoch": 1, "loss": 0.3} are points of charts. */
  line(text) {
    if (!text.startsWith("{") || text.length > 10_000) {
      return;
    }
    let found;
    try {
      found = JSON.parse(text);
    } catch {
      return;
    }
    const step = STEPS.find((each) => typeof found[each] === "number");
    this.count += 1;
    for (const [name, value] of Object.entries(found)) {
      if (name !== step && Number.isFinite(value) && (this.series.has(name) || this.series.size < CHARTS)) {
        const points = this.series.get(name) ?? [];
        this.series.set(name, points);
        points.push([step ? found[step] : this.count, value]);
        if (points.length > POINTS) {
          points.shift();
        }
      }
    }
    if (this.series.size && !this.drawing) {
      this.drawing = true;
      requestAnimationFrame(() => this.draw(step ?? "line"));
    }
  }

  draw(step) {
    this.drawing = false;
    this.panel.hidden = false;
    this.charts.replaceChildren(...[...this.series].map(([name, points]) => chart(name, points, step)));
  }

  /** What the training gave back: numbers as tiles, tables of rows that are alike, square tables of numbers as maps. */
  result(value) {
    if (value === null || typeof value !== "object" || Array.isArray(value)) {
      return;
    }
    const numbers = flat(value).slice(0, TILES);
    this.tiles.replaceChildren(...numbers.map(([name, number]) => make("div", {}, make("dt", {}, name), make("dd", {}, numberText(number)))));
    const lists = Object.entries(value).filter(([, each]) => isSeries(each));
    for (const [name, each] of lists.slice(0, CHARTS - this.series.size)) {
      this.charts.append(chart(name, each.map((number, index) => [index + 1, number]), "step"));
    }
    this.tables.replaceChildren(...Object.entries(value).filter(([, each]) => isMatrix(each)).slice(0, 4).map(([name, each]) => heatmap(name.replaceAll("_", " "), each)));
    this.panel.hidden = !(numbers.length || lists.length || this.tables.childElementCount || this.series.size);
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
