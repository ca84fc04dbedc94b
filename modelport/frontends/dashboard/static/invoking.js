// The page that calls a deployment: form, JSON and curl follow each other; one call at a time, live, to be cancelled.
import { isDefault, read, write } from "./arguments.js";
import { bodyOf, curlLine, problemOf } from "./calling.js";
import { copy } from "./common.js";
import { Files } from "./files.js";
import { append, follow } from "./following.js";
import { show } from "./results.js";

function start(page) {
  const { name, url, origin, token } = page.dataset;
  const fields = JSON.parse(document.getElementById("field-data").content.textContent);
  const plain = fields.filter((field) => field.kind !== "file" && field.kind !== "files");
  const form = document.getElementById("call");
  const problem = document.getElementById("problem");
  const json = document.getElementById("json");
  const files = new Files(fields, () => refresh());
  let running = null;
  let listening = false;

  // Values

  /** Values by argument, without those that the module takes by itself; messages by argument where one cannot be read. */
  function gather() {
    const values = {};
    const wrong = {};
    for (const field of plain) {
      try {
        const value = read(field);
        if (value !== undefined && !isDefault(field, value)) {
          values[field.name] = value;
        }
      } catch (error) {
        wrong[field.name] = [error.message];
      }
    }
    return { values, wrong };
  }

  function refresh() {
    const { values } = gather();
    document.getElementById("curl").textContent = curlLine(origin + url, values, files.chosen(), Boolean(token));
    if (document.activeElement !== json) {
      const all = Object.fromEntries(plain.map((field) => [field.name, valueOr(field)]).filter(([, value]) => value !== undefined));
      json.value = JSON.stringify(all, null, 2);
      document.getElementById("json-error").textContent = "";
    }
  }

  function valueOr(field) {
    try {
      return read(field);
    } catch {
      return undefined;
    }
  }

  json.addEventListener("input", () => {
    const told = document.getElementById("json-error");
    try {
      const values = JSON.parse(json.value);
      const known = new Set(plain.map((field) => field.name));
      const strange = Object.keys(values).filter((each) => !known.has(each));
      told.textContent = strange.length ? `There is no argument ${strange.join(", ")}.` : "";
      plain.forEach((field) => write(field, values[field.name]));
      refresh();
    } catch (error) {
      told.textContent = `This is not JSON: ${error.message}`;
    }
  });

  form.addEventListener("input", (event) => {
    const slider = event.target.dataset.slider;
    if (slider) {
      document.getElementById(slider).value = event.target.value;
    }
    const twin = document.querySelector(`[data-slider="${event.target.id}"]`);
    if (twin) {
      twin.value = event.target.value;
    }
    if (event.target !== json) {
      refresh();
    }
  });
  form.addEventListener("reset", () =>
    setTimeout(() => {
      files.clear();
      clearErrors();
      refresh();
    }),
  );
  document.getElementById("copy-curl").addEventListener("click", () => {
    const line = document.getElementById("curl").textContent;
    copy(token ? `TOKEN=${token}\n${line}` : line);
  });

  // Errors

  function clearErrors() {
    problem.hidden = true;
    form.querySelectorAll(".error").forEach((each) => (each.textContent = ""));
    form.querySelectorAll("[aria-invalid]").forEach((each) => each.removeAttribute("aria-invalid"));
    form.querySelectorAll("[data-invalid]").forEach((each) => each.removeAttribute("data-invalid"));
  }

  function showErrors(message, byName) {
    let first = null;
    const elsewhere = [];
    for (const [argument, messages] of Object.entries(byName)) {
      const field = fields.find((each) => each.name === argument);
      const text = flat(messages).join(" ");
      if (!field) {
        elsewhere.push(`${argument}: ${text}`);
        continue;
      }
      const element = document.getElementById(field.id);
      document.getElementById(`${field.id}-error`).textContent = text;
      element.setAttribute("aria-invalid", "true");
      element.closest("[data-drop]")?.setAttribute("data-invalid", "");
      first ??= element;
    }
    problem.textContent = [first && !elsewhere.length ? "" : message, ...elsewhere].filter(Boolean).join(" ");
    problem.hidden = !problem.textContent;
    first?.focus();
  }

  function flat(messages) {
    if (Array.isArray(messages)) {
      return messages.flatMap(flat);
    }
    if (messages && typeof messages === "object") {
      return Object.entries(messages).flatMap(([key, each]) => flat(each).map((text) => `${key}: ${text}`));
    }
    return [String(messages)];
  }

  // The call

  const log = document.getElementById("log");
  follow(name, (text) => listening && append(log, text)).catch(() => {});

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (running) {
      return;
    }
    clearErrors();
    const { values, wrong } = gather();
    for (const field of fields) {
      if (field.required && !(field.name in values) && !files.chosen().some((each) => each.name === field.name) && !isDefault(field, valueOr(field) ?? null)) {
        wrong[field.name] ??= field.kind.startsWith("file") ? ["Choose a file."] : ["This is needed."];
      }
    }
    if (Object.keys(wrong).length) {
      showErrors("", wrong);
      return;
    }
    await call(values, files.chosen());
  });

  async function call(values, chosen) {
    running = new AbortController();
    listening = true;
    const began = performance.now();
    log.textContent = "";
    const ticking = waiting(began);
    try {
      const { body, headers } = bodyOf(values, chosen);
      const response = await fetch(url, { method: "POST", body, headers, signal: running.signal });
      await answered(response, chosen, began);
    } catch (error) {
      document.getElementById("result").replaceChildren();
      problem.textContent = error.name === "AbortError" ? "Cancelled." : `The server does not answer: ${error.message}`;
      problem.hidden = false;
    } finally {
      clearInterval(ticking);
      running = null;
      setRunning(false);
      // What was printed last may come after the answer.
      setTimeout(() => (listening = running !== null), 500);
    }
  }

  async function answered(response, chosen, began) {
    if (!response.ok) {
      const text = await response.text();
      let document_ = null;
      try {
        document_ = JSON.parse(text);
      } catch {
        // A line of text.
      }
      document.getElementById("result").replaceChildren();
      if (response.status === 401) {
        showErrors("You have been signed out. Load this page again to sign in.", {});
        return;
      }
      const told = problemOf(response.status, document_, text);
      showErrors(told.message, told.fields);
      return;
    }
    await show(document.getElementById("result"), response, chosen);
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
    document.getElementById("run").disabled = yes;
    document.getElementById("cancel").hidden = !yes;
    document.getElementById("waiting").hidden = !yes;
    page.setAttribute("aria-busy", String(yes));
    if (yes) {
      document.getElementById("timing").textContent = "";
    }
  }

  document.getElementById("cancel").addEventListener("click", () => running?.abort());
  refresh();
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
