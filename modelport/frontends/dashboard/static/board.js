// The curves of the trainings that are ticked, in one chart for each metric. Tables are replaced while one ticks, so what
// is ticked is kept here.
import { chart } from "./charts.js";
import { ask } from "./common.js";
import { isFinal } from "./watching.js";

const MOST = 8; // as many as there are colours
const ticked = new Map(); // id → {number of its colour, curves, ended}

async function load(id) {
  const run = ticked.get(id);
  // Before its curves are asked for: what is added meanwhile is asked for again.
  const { status } = rowOf(id)?.dataset ?? {};
  const told = await ask("GET", `/jobs/${id}/metrics`).catch(() => null);
  if (told && ticked.get(id) === run) {
    Object.assign(run, told, { ended: isFinal(status) });
    draw();
  }
}

const rowOf = (id) => document.querySelector(`.board [data-job="${id}"]`);

function tick(id) {
  if (ticked.size === MOST) {
    ticked.delete(ticked.keys().next().value);
  }
  const taken = [...ticked.values()].map((run) => run.number);
  const number = Array.from({ length: MOST }, (_, at) => at + 1).find((each) => !taken.includes(each));
  ticked.set(id, { number, metrics: {}, step: "", ended: false });
  load(id);
}

function mark() {
  for (const box of document.querySelectorAll("[data-curves]")) {
    const run = ticked.get(box.dataset.curves);
    box.checked = Boolean(run);
    box.nextElementSibling.className = run ? `curve-key curve-${run.number}` : "curve-key";
  }
}

function draw() {
  mark();
  const runs = [...ticked];
  const names = [...new Set(runs.flatMap(([, run]) => Object.keys(run.metrics)))].sort();
  const charts = names.map((name) => {
    const lines = runs.filter(([, run]) => run.metrics[name]).map(([id, run]) => ({ label: id.slice(-8), points: run.metrics[name], number: run.number }));
    const [first] = runs.filter(([, run]) => run.metrics[name]);
    return chart(name, lines, first[1].step);
  });
  document.getElementById("curves").replaceChildren(...charts);
  document.getElementById("curves-none").hidden = names.length > 0;
  document.getElementById("curves-panel").hidden = !ticked.size;
}

document.addEventListener("change", ({ target }) => {
  const { curves: id } = target.dataset;
  if (id) {
    if (target.checked) {
      tick(id);
    } else {
      ticked.delete(id);
    }
    draw();
  }
});
document.getElementById("untick").addEventListener("click", () => {
  ticked.clear();
  draw();
});
// The table comes anew when anything in it has changed, the metrics of a training that runs, too.
document.addEventListener("htmx:afterSettle", () => {
  mark();
  [...ticked].filter(([, run]) => !run.ended).forEach(([id]) => load(id));
});
// A page that comes back by Back has its ticks, but not what is kept here.
addEventListener("pageshow", () => {
  document.querySelectorAll("[data-curves]:checked").forEach((box) => ticked.has(box.dataset.curves) || tick(box.dataset.curves));
  mark();
});
