// Start a training from its form; its page shows the rest.
import { bodyOf, problemOf } from "./calling.js";
import { SIGNED_OUT, unreached } from "./common.js";
import { CallForm } from "./form.js";

const { base } = document.body.dataset;

function start(page) {
  const call = new CallForm(page);
  const run = document.getElementById("run");
  call.form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const ready = run.disabled ? null : call.ready();
    if (!ready) {
      return;
    }
    run.disabled = true;
    try {
      const response = await fetch(call.url, { method: "POST", ...bodyOf(ready.values, ready.chosen) }).catch(unreached);
      const text = await response.text();
      if (response.ok) {
        location.assign(`${base}/jobs/${JSON.parse(text).uuid}`);
        return;
      }
      let told = null;
      try {
        told = JSON.parse(text);
      } catch {
        // A line of text.
      }
      const { message, fields } = problemOf(response.status, told, text);
      call.showErrors(response.status === 401 ? SIGNED_OUT : message, fields);
    } catch (error) {
      call.showErrors(error.message);
    }
    run.disabled = false;
  });
}

function find() {
  const page = document.getElementById("train");
  if (page && !page.dataset.started) {
    page.dataset.started = "yes";
    start(page);
  }
}

find();
document.addEventListener("htmx:afterSettle", find);
