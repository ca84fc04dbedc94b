// Deleting a deployment and renewing its token, after a question.
import { ask, refresh, say } from "./common.js";
import { question } from "./questions.js";

const base = document.body.dataset.base;

const askDelete = question("delete", async (name) => {
  await ask("DELETE", `/deployments/${encodeURIComponent(name)}`);
  if (document.getElementById("deployments")) {
    say(`${name} is deleted.`);
    window.htmx.ajax("GET", `${base}/inference`, { target: "#deployments", swap: "outerHTML" });
  } else {
    location.assign(`${base}/inference`);
  }
});

const askRotate = question("rotate", async (name) => {
  await ask("POST", `/deployments/${encodeURIComponent(name)}/token`);
  location.reload();
});

const askRotateKeys = question("rotate-keys", async (name) => {
  await ask("POST", `/deployments/${encodeURIComponent(name)}/bucket`);
  location.reload();
});

/** It loads while the page looks on; how that ends, the page finds out by itself, too. */
async function load(button) {
  button.disabled = true;
  try {
    await ask("POST", `/deployments/${encodeURIComponent(button.dataset.load)}/load`);
    say(`${button.dataset.load} has been loaded.`);
  } catch (error) {
    say(error.message);
  }
  button.disabled = false;
  refresh("#details");
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-delete], [data-rotate], [data-rotate-keys], [data-load]");
  if (button?.dataset.load) {
    load(button);
  } else if (button?.dataset.delete) {
    document.getElementById("belongings").replaceChildren();
    window.htmx.ajax("GET", `${base}/inference/${encodeURIComponent(button.dataset.delete)}/belongings`, { target: "#belongings", swap: "outerHTML" }).catch(() => {});
    askDelete(button.dataset.delete);
  } else if (button?.dataset.rotate) {
    askRotate(button.dataset.rotate);
  } else if (button?.dataset.rotateKeys) {
    askRotateKeys(button.dataset.rotateKeys);
  }
});
