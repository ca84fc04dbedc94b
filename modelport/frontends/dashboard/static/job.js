// One job: its progress and log as they come, and what it gave.
import { actions, pageOf } from "./acting.js";
import { make, refresh, unreached } from "./common.js";
import { sizeText } from "./files.js";
import { Metrics } from "./metrics.js";
import { Printed } from "./printed.js";
import { show } from "./results.js";
import { tick } from "./times.js";
import { isFinal, watchJob } from "./watching.js";

const { root, base } = document.body.dataset;
const job = JSON.parse(document.getElementById("job-data").content.textContent);
// Beyond this an answer is downloaded, not shown.
const SHOWN_BYTES = 30 << 20;
const IMAGE_BYTES = 50 << 20;

const metrics = new Metrics(document.getElementById("metrics-panel"), document.getElementById("metrics"), job.id);
const printed = new Printed(document.getElementById("log"));
const logState = document.getElementById("log-state");

/** The pictures that it was given, as a form would have them: [{name, file}]. */
async function inputs() {
  const wanted = job.files.filter((each) => each.type.startsWith("image/"));
  const found = await Promise.all(
    wanted.map(async ({ argument, url, type }) => {
      const response = await fetch(url).catch(() => null);
      if (!response?.ok || Number(response.headers.get("Content-Length")) > IMAGE_BYTES) {
        return null; // deleted since
      }
      return { name: argument, file: new Blob([await response.arrayBuffer().catch(unreached)], { type }) };
    }),
  );
  return found.filter(Boolean);
}

async function result(size) {
  const place = document.getElementById("result");
  document.getElementById("result-panel").hidden = false;
  await fill(place, size).catch((error) => place.replaceChildren(make("p", { className: "bad" }, error.message)));
}

async function fill(place, size) {
  const url = `${root}/jobs/${job.id}/result`;
  if (size > SHOWN_BYTES) {
    place.replaceChildren(make("p", {}, make("a", { className: "button", href: url, download: "", textContent: `Download, ${sizeText(size)}` })));
    return;
  }
  const response = await fetch(url).catch(unreached);
  if (!response.ok) {
    place.replaceChildren(make("p", { className: "bad" }, (await response.json().catch(() => null))?.message ?? "The result is not available."));
    return;
  }
  if (job.method === "train" && response.headers.get("Content-Type")?.startsWith("application/json")) {
    await metrics.load();
    metrics.result(await response.clone().json());
  }
  await show(place, response, await inputs());
}

function progress(told) {
  const bar = document.getElementById("progress");
  if (typeof told?.fraction === "number") {
    bar.value = told.fraction;
  } else {
    bar.removeAttribute("value");
  }
  document.getElementById("progress-text").textContent = told?.message ?? "";
  if (told) {
    document.getElementById("running-text").textContent = "Running";
  }
}

// The files that it keeps, by name. A picture that takes the place of another has the same address.
const artifacts = new Map(job.artifacts.map((link) => [link.name, figure(link, link.url)]));

function figure({ name, url, media_type: type, size_bytes: size }, source) {
  const link = make("a", { href: url, download: name }, name);
  const shown = make("figure", {}, make("figcaption", {}, link, make("span", { className: "soft small" }, ` ${sizeText(size)}`)));
  if (type.startsWith("image/") && size <= IMAGE_BYTES) {
    const picture = make("img", { src: source, alt: name, loading: "lazy" });
    // One that the browser cannot show (TIFF) is named only.
    picture.addEventListener("error", () => picture.remove());
    shown.prepend(picture);
  }
  return shown;
}

function artifact(link) {
  artifacts.set(link.name, figure(link, `${link.url}?of=${Date.now()}`));
  gallery();
}

function gallery() {
  document.getElementById("artifacts-panel").hidden = !artifacts.size;
  document.getElementById("artifacts").replaceChildren(...artifacts.values());
}

gallery();

const endedBefore = isFinal(job.status);

function state(told) {
  if (isFinal(told.status) && !endedBefore) {
    if (told.status === "succeeded") {
      logState.textContent = "";
      document.getElementById("running").hidden = true;
      document.getElementById("job").setAttribute("aria-busy", "false");
      document.querySelectorAll("[data-when-final]").forEach((each) => (each.hidden = false));
      document.querySelectorAll("[data-when-open]").forEach((each) => (each.hidden = true));
      result(told.result.size_bytes);
      document.getElementById("use")?.toggleAttribute("hidden", !Object.keys(told.use).length);
    } else {
      // What it failed with, and what helps, is the server's to say.
      location.reload();
      return;
    }
  } else if (!isFinal(told.status)) {
    // What came while nobody listened.
    told.artifacts.filter(({ name }) => !artifacts.has(name)).forEach(artifact);
    document.getElementById("running-text").textContent = told.status === "running" ? "Running" : "Waiting for its turn";
    progress(told.progress);
    logState.textContent = "Live.";
  }
  if (!endedBefore) {
    refresh("#job-details");
  }
}

actions({
  deleted: () => location.assign(job.method === "train" ? `${base}/trainings` : `${base}/jobs`),
  cancelled: () => {},
  again: (made) => location.assign(pageOf(made.id)),
});
document.addEventListener("htmx:afterSettle", tick);

async function begin() {
  if (!endedBefore) {
    watchJob(job.id, { state, progress, printed: (text) => printed.add(text), metrics: () => metrics.refresh(), artifact, begun: () => printed.clear() });
    metrics.refresh();
    return;
  }
  metrics.refresh();
  const [log] = await Promise.all([fetch(`${root}/jobs/${job.id}/log`), job.status === "succeeded" ? result(job.size_bytes) : null]);
  const text = log.ok ? await log.text() : "";
  printed.add(text);
  logState.textContent = text ? "" : "No output.";
}

begin();
