// Sources of modules: added, fetched again, removed.
import { ask, say } from "./common.js";

const { base } = document.body.dataset;

const add = (address, kind) => ask("POST", "/modules/sources", { address, kind: kind || null });

document.getElementById("add-source")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector("button");
  const problem = document.getElementById("source-error");
  problem.textContent = "";
  button.disabled = true;
  try {
    await add(form.elements.address.value);
    location.assign(`${base}/`);
  } catch (error) {
    problem.textContent = error.fields?.address?.[0] ?? error.message;
    button.disabled = false;
  }
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-add-source], [data-remove-source]");
  if (!button) {
    return;
  }
  const { addSource, removeSource, kind, next } = button.dataset;
  button.disabled = true;
  try {
    await (removeSource ? ask("DELETE", `/modules/sources/${removeSource}`) : add(addSource, kind));
    location.assign(next ?? `${base}/`);
  } catch (error) {
    say(error.message);
    button.disabled = false;
  }
});
