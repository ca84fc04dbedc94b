// The form of a deployment: two steps, errors at their fields.
import { ask } from "./common.js";

const form = document.getElementById("deploy");
const steps = [...form.querySelectorAll("[data-step]")];
const marks = [...form.querySelectorAll(".steps li")];
const problem = document.getElementById("problem");
const NUMBERS = ["cpu", "min_workers", "max_workers", "idle_s", "timeout_s"];

function go(number) {
  steps.forEach((step, index) => (step.hidden = index !== number));
  marks.forEach((mark, index) => {
    if (index === number) {
      mark.setAttribute("aria-current", "step");
    } else {
      mark.removeAttribute("aria-current");
    }
  });
  steps[number].querySelector("input, textarea")?.focus();
}

/** What the API is to be told. Throws Map of problems by field where a value cannot even be read. */
function read() {
  const values = Object.fromEntries(new FormData(form));
  const wrong = {};
  for (const name of NUMBERS) {
    const field = form.elements[name];
    if (field.validity.badInput) {
      wrong[name] = ["is not a number"];
    }
    values[name] = values[name].trim() === "" ? null : Number(values[name]);
  }
  values.memory = values.memory.trim() || null;
  values.environment = {};
  for (const line of form.elements.environment.value.split("\n")) {
    if (!line.trim()) {
      continue;
    }
    const at = line.indexOf("=");
    if (at < 1) {
      wrong.environment = [`"${line.trim().slice(0, 60)}" is not NAME=value`];
    }
    values.environment[line.slice(0, at).trim()] = line.slice(at + 1);
  }
  return { values, wrong };
}

function show(fields, message) {
  const known = Object.keys(fields).filter((name) => document.getElementById(`${name}-error`));
  for (const name of known) {
    document.getElementById(`${name}-error`).textContent = [fields[name]].flat().join(" ");
    form.elements[name]?.setAttribute("aria-invalid", "true");
  }
  const elsewhere = Object.keys(fields).length > known.length || !known.length;
  problem.hidden = !elsewhere;
  problem.textContent = elsewhere ? message : "";
  const first = known.map((name) => form.elements[name]).find(Boolean);
  if (first) {
    go(steps.findIndex((step) => step.contains(first)));
    first.focus();
  }
}

function clear() {
  problem.hidden = true;
  form.querySelectorAll(".error").forEach((each) => (each.textContent = ""));
  form.querySelectorAll("[aria-invalid]").forEach((each) => each.removeAttribute("aria-invalid"));
}

form.addEventListener("click", (event) => {
  const to = event.target.closest("[data-to]");
  if (to) {
    go(Number(to.dataset.to));
  }
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  clear();
  const { values, wrong } = read();
  if (Object.keys(wrong).length) {
    show(wrong, "");
    return;
  }
  const buttons = form.querySelectorAll("[type=submit]");
  buttons.forEach((each) => (each.disabled = true));
  const name = form.dataset.name;
  try {
    const made = name
      ? await ask("PATCH", `/deployments/${encodeURIComponent(name)}`, values)
      : await ask("POST", "/deployments", { ...JSON.parse(form.dataset.given), ...values });
    location.assign(`${document.body.dataset.base}/inference/${encodeURIComponent(made.name)}`);
  } catch (error) {
    const fields = error.fields ?? {};
    // A name that is taken is a conflict, which names no field.
    show(error.status === 409 && !name ? { name: [error.message] } : fields, error.message);
    buttons.forEach((each) => (each.disabled = false));
  }
});
