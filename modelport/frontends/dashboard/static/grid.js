// The results of many files as a grid: boxes over thumbnails, and a look at one file with all that belongs to it.
import { make, refresh, unreached } from "./common.js";
import { show } from "./results.js";
import { thingsOf } from "./shapes.js";
import { COLOURS, drawn } from "./svg.js";
import { listen } from "./watching.js";

const LEAST_MS = 1000;
// Answers beyond this are not drawn over a thumbnail, and of one so many boxes.
const DRAWN_BYTES = 256 << 10;
const DRAWN_BOXES = 200;
// Answers that have been fetched, so that a grid that is shown anew does not ask again.
const KEPT = 500;
const LOG_CHARS = 100_000;

const { root } = document.body.dataset;

// Live

let due = null;

function refreshSoon() {
  due ??= setTimeout(() => {
    due = null;
    refresh("#results");
  }, LEAST_MS);
}

function changed() {
  refreshSoon();
  // What the server has just looked through, it looks through again a moment later.
  setTimeout(refreshSoon, 3 * LEAST_MS);
}

const { deployment } = document.getElementById("results").dataset;
listen(`/events?deployment=${encodeURIComponent(deployment)}`, { state: changed, missed: changed }, changed);

document.addEventListener("htmx:responseError", ({ detail }) => {
  if (detail.xhr.status === 404) {
    document.getElementById("results").replaceWith(make("p", { className: "notice warn", role: "status" }, "This service has been deleted. Its bucket and all files in it stay."));
    document.querySelectorAll("#downloads, #grid-filter").forEach((each) => each.remove());
  }
});

// Boxes over thumbnails

const answers = new Map(); // job and address → promise of the boxes in that answer

function boxesAt({ result, job }) {
  const key = `${job} ${result}`;
  if (!answers.has(key)) {
    if (answers.size >= KEPT) {
      answers.delete(answers.keys().next().value);
    }
    answers.set(key, fetch(result).then((response) => (response.ok ? response.json() : null)).then((value) => thingsOf(value)?.filter(({ x1 }) => x1 !== undefined) ?? null).catch(() => null));
  }
  return answers.get(key);
}

function colours() {
  const labels = [...document.querySelectorAll("[data-label]")].map((each) => each.dataset.label);
  return new Map(labels.map((label, index) => [label, COLOURS[index % COLOURS.length]]));
}

async function drawOver(button) {
  const told = JSON.parse(button.dataset.tile);
  const image = button.querySelector("img");
  if (!image || !told.boxed || told.resultBytes > DRAWN_BYTES) {
    return;
  }
  const [found] = await Promise.all([boxesAt(told), image.decode().catch(() => null)]);
  const { naturalWidth: width, naturalHeight: height } = image;
  if (!found || !width || !height) {
    return;
  }
  const shares = found.every((each) => each.x2 <= 1 && each.y2 <= 1);
  const [across, down] = shares ? [width, height] : [1, 1];
  const known = colours();
  const shapes = found.slice(0, DRAWN_BOXES).map(({ x1, y1, x2, y2, outlines, label }) => {
    const stroke = known.get(String(label)) ?? COLOURS[0];
    if (outlines.length) {
      return drawn("path", { d: outlines.map((outline) => `M${outline.map(([x, y]) => `${x * across} ${y * down}`).join("L")}Z`).join(""), stroke });
    }
    return drawn("rect", { x: x1 * across, y: y1 * down, width: Math.max(0, x2 - x1) * across, height: Math.max(0, y2 - y1) * down, stroke });
  });
  image.after(drawn("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, ...shapes));
}

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (isIntersecting) {
      seen.unobserve(target);
      drawOver(target);
    }
  }
}, { rootMargin: "200px" });

function prepare() {
  for (const [label, colour] of colours()) {
    document.querySelector(`[data-label="${CSS.escape(label)}"]`).style.borderLeftColor = colour;
  }
  document.querySelectorAll("[data-tile]").forEach((each) => seen.observe(each));
}

// A look at one file

const dialog = document.getElementById("tile");
const place = document.getElementById("tile-place");
let shown = { id: "", told: "" };
let turn = 0; // of what is being fetched, only the last is shown

async function open(button) {
  const told = JSON.parse(button.dataset.tile);
  const mine = ++turn;
  shown = { id: button.id, told: button.dataset.tile };
  document.getElementById("tile-title").textContent = told.name;
  const state = document.getElementById("tile-state");
  state.className = `state ${told.status}`;
  state.textContent = told.status;
  document.getElementById("tile-says").textContent = told.says;
  for (const way of dialog.querySelectorAll("[data-way]")) {
    const address = told[way.dataset.way];
    way.hidden = !address;
    way.href = address || "#";
  }
  turners();
  place.replaceChildren(make("p", { className: "soft" }, "…"));
  if (!dialog.open) {
    dialog.showModal();
  }
  const view = make("div");
  await fill(view, told).catch((error) => view.append(make("p", { className: "bad" }, error.message)));
  if (mine === turn) {
    place.replaceChildren(view);
  }
}

async function fill(view, told) {
  if (told.error) {
    view.append(make("p", { className: "notice bad" }, told.error));
  }
  if (told.result) {
    const result = make("div");
    view.append(result);
    const response = await fetch(told.result).catch(unreached);
    if (response.ok) {
      const name = told.result.split("/").pop();
      const headers = { "Content-Type": told.resultType, "Content-Disposition": `attachment; filename="${decodeURIComponent(name).replace(/[^\x20-\x7e]|"/g, "_")}"` };
      await show(result, new Response(await response.blob().catch(unreached), { headers }), await inputOf(told));
    } else {
      result.append(make("p", { className: "bad" }, response.status === 404 ? "The output no longer exists." : "The output is not available now."));
    }
  } else if (told.final && !told.error) {
    view.append(make("p", { className: "soft" }, "There is no output. The log says more."));
  } else if (!told.final) {
    view.append(make("p", { className: "soft" }, "There is no output yet."));
  }
  if (!told.result && told.log) {
    const response = await fetch(told.log).catch(unreached);
    if (response.ok) {
      const text = await response.text().catch(unreached);
      view.append(make("h3", {}, "Log"), make("pre", { className: "log", tabIndex: 0 }, text.slice(0, LOG_CHARS)));
    }
  }
}

/** The picture that was sent, for boxes over it. */
async function inputOf({ input, inputType, name, drawable }) {
  const response = drawable ? await fetch(input).catch(() => null) : null;
  return response?.ok ? [{ name, file: new File([await response.blob().catch(unreached)], name, { type: inputType }) }] : [];
}

function neighbour(step) {
  const all = [...document.querySelectorAll("[data-tile]")];
  return all[all.findIndex((each) => each.id === shown.id) + step] ?? null;
}

function turners() {
  for (const each of dialog.querySelectorAll("[data-turn]")) {
    each.disabled = !neighbour(Number(each.dataset.turn));
  }
}

function step(by) {
  const next = neighbour(by);
  next && open(next);
}

dialog.addEventListener("click", ({ target }) => {
  if (target.closest("[data-close]")) {
    dialog.close();
  } else if (target.dataset.turn) {
    step(Number(target.dataset.turn));
  }
});
dialog.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (by && !event.target.closest("input, textarea, select, [tabindex]:not(button)")) {
    step(by);
  }
});
dialog.addEventListener("close", () => {
  turn += 1;
  place.replaceChildren();
  document.getElementById(shown.id)?.focus();
});
document.addEventListener("click", ({ target }) => {
  const button = target.closest?.("[data-tile]");
  button && open(button);
});
document.addEventListener("htmx:afterSettle", () => {
  prepare();
  openAsked();
  const button = dialog.open ? document.getElementById(shown.id) : null;
  if (button && button.dataset.tile !== shown.told) {
    open(button);
  }
});

let asked = true;

/** The file that the address names, once the grid has it. */
function openAsked() {
  const { opened } = document.getElementById("results").dataset;
  if (asked && opened) {
    asked = false;
    open([...document.querySelectorAll("[data-tile]")].find(({ dataset }) => JSON.parse(dataset.tile).keys.includes(opened)));
  }
}

prepare();
openAsked();
