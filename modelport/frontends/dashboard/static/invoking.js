// The page that calls a deployment: one call at a time, live, to be cancelled; at once, or as a job.
import { bodyOf, problemOf } from "./calling.js";
import { SIGNED_OUT, ask, unreached } from "./common.js";
import { append, follow } from "./following.js";
import { CallForm } from "./form.js";
import { Printed } from "./printed.js";
import { show } from "./results.js";
import { isFinal, watchJob } from "./watching.js";

const { root, base } = document.body.dataset;

function start(page) {
  const { name, url } = page.dataset;
  const asJob = document.getElementById("as-job");
  const call = new CallForm(page, () => asJob.checked);
  const result = document.getElementById("result");
  const jobLine = document.getElementById("job-line");
  let running = null;
  let listening = false;

  const log = document.getElementById("log");
  follow(name, (text) => listening && append(log, text)).catch(() => {});

  call.form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const ready = running ? null : call.ready();
    if (ready) {
      await run(ready.values, ready.chosen);
    }
  });

  async function run(values, chosen) {
    running = new AbortController();
    listening = !asJob.checked;
    const began = performance.now();
    log.textContent = "";
    jobLine.hidden = true;
    const ticking = waiting(began);
    try {
      const { body, headers } = bodyOf(values, chosen);
      const prefer = asJob.checked ? { Prefer: "respond-async" } : {};
      const response = await fetch(url, { method: "POST", body, headers: { ...headers, ...prefer }, signal: running.signal }).catch(unreached);
      if (response.status === 202) {
        await job(await response.json(), chosen, began, running.signal);
      } else {
        await answered(response, chosen, began, true);
      }
    } catch (error) {
      result.replaceChildren();
      call.showErrors(error.name === "AbortError" ? "Cancelled." : error.message);
    } finally {
      clearInterval(ticking);
      running = null;
      setRunning(false);
      // What was printed last may come after the answer.
      setTimeout(() => (listening = running !== null), 500);
    }
  }

  /** Follow the job that the call has become, to its end. */
  async function job(accepted, chosen, began, signal) {
    const link = document.getElementById("job-link");
    link.href = `${base}/jobs/${accepted.id}`;
    link.textContent = accepted.id.slice(-8);
    jobLine.hidden = false;
    const printed = new Printed(log);
    // The end comes by the stream, as it does when it is cancelled.
    signal.addEventListener("abort", () => ask("POST", `/jobs/${accepted.id}/cancel`).catch((error) => call.showErrors(error.message)));
    const ended = await new Promise((resolve) => {
      watchJob(accepted.id, {
        state: (told) => {
          showProgress(told.progress);
          return isFinal(told.status) && resolve(told);
        },
        progress: showProgress,
        printed: (text) => printed.add(text),
        begun: () => printed.clear(),
      });
    });
    if (ended.status === "cancelled") {
      result.replaceChildren();
      call.showErrors("Cancelled.");
    } else {
      await answered(await fetch(`${root}/jobs/${accepted.id}/result`), chosen, began);
    }
  }

  function showProgress(progress) {
    const bar = document.getElementById("progress");
    bar.hidden = typeof progress?.fraction !== "number";
    if (!bar.hidden) {
      bar.value = progress.fraction;
    }
    document.getElementById("progress-text").textContent = progress?.message ?? "";
  }

  async function answered(response, chosen, began, called = false) {
    await tell(response, chosen, began, called);
    // On a phone the result lies below the form, out of sight.
    const output = result.closest(".output");
    if (response.ok && output.getBoundingClientRect().top > innerHeight * 0.8) {
      output.scrollIntoView({ block: "start" });
    }
  }

  async function tell(response, chosen, began, called) {
    if (!response.ok) {
      const text = await response.text();
      let document_ = null;
      try {
        document_ = JSON.parse(text);
      } catch {
        // A line of text.
      }
      result.replaceChildren();
      if (response.status === 401) {
        call.showErrors(SIGNED_OUT);
        return;
      }
      const told = problemOf(response.status, document_, text);
      call.showErrors(told.message, told.fields);
      return;
    }
    await show(result, response, chosen, called);
    const seconds = (performance.now() - began) / 1000;
    const predict = /predict;dur=([\d.]+)/.exec(response.headers.get("Server-Timing") ?? "");
    const inside = predict ? `, ${timeText(Number(predict[1]) / 1000)} in the model` : "";
    document.getElementById("timing").textContent = timeText(seconds) + inside;
  }

  function timeText(seconds) {
    return seconds < 1 ? `${Math.max(1, Math.round(seconds * 1000))} ms` : `${seconds.toFixed(1)} s`;
  }

  function waiting(began) {
    setRunning(true);
    const text = document.getElementById("waiting-text");
    const tick = () => (text.textContent = `Running: ${Math.floor((performance.now() - began) / 1000)} s`);
    tick();
    return setInterval(tick, 500);
  }

  function setRunning(yes) {
    const run = document.getElementById("run");
    const cancel = document.getElementById("cancel");
    // Whoever came by keys stays where they were: of the two buttons one is there at a time.
    const [from, to] = yes ? [run, cancel] : [cancel, run];
    const held = document.activeElement === from;
    run.disabled = yes;
    cancel.hidden = !yes;
    if (held) {
      to.focus();
    }
    document.getElementById("waiting").hidden = !yes;
    page.setAttribute("aria-busy", String(yes));
    if (yes) {
      document.getElementById("timing").textContent = "";
      showProgress(null);
    }
  }

  document.getElementById("cancel").addEventListener("click", () => running?.abort());
}

function find() {
  const page = document.getElementById("invoke");
  if (page && !page.dataset.started) {
    page.dataset.started = "yes";
    start(page);
  }
}

find();
document.addEventListener("htmx:afterSettle", find);
