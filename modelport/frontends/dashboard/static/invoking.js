// The page that calls a deployment: one run at a time, kept as a job; the address names it, so that nothing is lost.
import { bodyOf, problemOf } from "./calling.js";
import { SIGNED_OUT, ask, make, unreached } from "./common.js";
import { CallForm } from "./form.js";
import { Printed } from "./printed.js";
import { show } from "./results.js";
import { streamed } from "./texts.js";
import "./ticking.js";
import { Waiting, timeText } from "./waiting.js";
import { isFinal, watchJob } from "./watching.js";

const { root, base } = document.body.dataset;

function start(page) {
  const call = new CallForm(page);
  const waiting = new Waiting(page);
  const result = document.getElementById("result");
  const printed = new Printed(document.getElementById("log"));
  let running = null;

  call.form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const ready = running ? null : call.ready();
    if (ready) {
      await during(Date.now(), () => begin(ready.values, ready.chosen));
    }
  });
  document.getElementById("cancel").addEventListener("click", () => running?.abort());

  /** Whatever happens, it ends with the button to run again; what went wrong stands in the result. */
  async function during(began, work) {
    running = new AbortController();
    waiting.start(began);
    result.replaceChildren();
    try {
      await work();
    } catch (error) {
      if (error.name === "AbortError") {
        cancelled();
      } else {
        failed(error.message);
      }
    } finally {
      running = null;
      waiting.stop();
    }
  }

  async function begin(values, chosen) {
    printed.clear();
    document.getElementById("job-line").hidden = true;
    const { body, headers } = bodyOf(values, chosen);
    const options = { method: "POST", body, headers: { ...headers, Prefer: "respond-async" }, signal: running.signal };
    const response = await fetch(call.url, options).catch(unreached);
    if (response.status === 202) {
      const { id } = await response.json();
      history.pushState(null, "", `?run=${id}`);
      await watch(id, chosen);
    } else if (response.ok) {
      await show(result, response, chosen, true);
    } else {
      await refused(response);
    }
  }

  async function refused(response) {
    const text = await response.text();
    let told = null;
    try {
      told = JSON.parse(text);
    } catch {
      // A line of text.
    }
    const known = { 401: SIGNED_OUT, 404: "This service has been deleted." }[response.status];
    const { message, fields } = known ? { message: known } : problemOf(response.status, told, text);
    failed(message, fields);
  }

  /** Follow a job to its end. */
  async function watch(id, chosen) {
    name(id);
    refreshStrip(id);
    // The end comes by the stream, as it does when it is cancelled.
    running.signal.addEventListener("abort", () => ask("POST", `/jobs/${id}/cancel`).catch((error) => failed(error.message)));
    const ended = await new Promise((resolve) => {
      watchJob(id, {
        state: (told) => {
          waiting.told(told.status, told.progress);
          return isFinal(told.status) && resolve(told);
        },
        progress: (progress) => waiting.told("running", progress),
        printed: (text) => printed.add(text),
        value: streamed(result),
        begun: () => printed.clear(),
      });
    });
    refreshStrip(id);
    await finish(ended, chosen);
    bringIntoView();
  }

  function name(id) {
    const link = document.getElementById("job-link");
    link.href = `${base}/jobs/${id}`;
    link.textContent = id.slice(-8);
    document.getElementById("job-line").hidden = false;
  }

  async function finish(ended, chosen) {
    document.getElementById("timing").textContent = ended.duration_s === null ? "" : timeText(ended.duration_s);
    if (ended.status === "succeeded") {
      const response = await fetch(`${root}/jobs/${ended.id}/result`).catch(unreached);
      await (response.ok ? show(result, response, chosen) : refused(response));
    } else if (ended.status === "cancelled") {
      cancelled();
    } else {
      failed(ended.error.message, ended.error.fields);
    }
  }

  function cancelled() {
    result.replaceChildren(make("p", { className: "soft" }, "Cancelled."));
  }

  /** In the result, and at the fields that it is about; with the end of the log, where there is one. */
  function failed(message, fields = {}) {
    const elsewhere = call.showAtFields(fields);
    const text = [message, ...elsewhere].filter(Boolean).join(" ");
    const notice = make("p", { className: "notice bad", role: "alert" }, text);
    result.replaceChildren(notice);
    const log = document.getElementById("log");
    if (log.textContent) {
      document.getElementById("call-log").open = true;
      log.scrollTop = log.scrollHeight;
    }
  }

  // On a phone the result lies below the form, out of sight.
  function bringIntoView() {
    const output = result.closest(".output");
    if (output.getBoundingClientRect().top > innerHeight * 0.8) {
      output.scrollIntoView({ block: "start" });
    }
  }

  let strip = Promise.resolve();

  /** One after another: each replaces what the next one is to replace. */
  function refreshStrip(id) {
    const path = `${page.dataset.runs}?run=${id}`;
    strip = strip.then(() => window.htmx.ajax("GET", path, { target: "#runs", swap: "outerHTML" })).catch(() => {});
  }

  /** Not by scrollIntoView: the page itself stays where it is. */
  function showInStrip() {
    const current = document.querySelector("#runs [aria-current]");
    if (current) {
      const strip = current.closest(".strip");
      strip.scrollLeft = current.offsetLeft - strip.offsetLeft - strip.clientWidth / 3;
    }
  }

  /** Show a run that the address names: what it was given, and its answer or how it stands. */
  async function restore(run) {
    await call.restore(run.values, run.files);
    const chosen = call.files.chosen();
    const told = await ask("GET", `/jobs/${run.id}`);
    await during(Date.parse(told.created), async () => {
      if (!isFinal(told.status)) {
        await watch(run.id, chosen);
        return;
      }
      name(run.id);
      printed.add(await (await fetch(`${root}/jobs/${run.id}/log`)).text());
      await finish(told, chosen);
    });
  }

  const kept = document.getElementById("run-data");
  if (kept) {
    restore(call.parse(kept)).catch((error) => failed(error.message));
  } else {
    const example = new URLSearchParams(location.search).get("example");
    call.fillExample(example === "" ? 0 : example);
    const use = document.getElementById("use-data");
    if (use) {
      call.fill(call.parse(use));
    }
  }
  showInStrip();
}

function find() {
  const page = document.getElementById("invoke");
  if (page && !page.dataset.started) {
    page.dataset.started = "yes";
    start(page);
  }
}

// Back leads to an earlier run, or to the form as it was at first.
addEventListener("popstate", () => location.reload());
find();
document.addEventListener("htmx:afterSettle", find);
