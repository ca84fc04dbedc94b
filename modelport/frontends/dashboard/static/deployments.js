// Deleting a deployment and renewing its token, after a question.
import { ask, say } from "./common.js";
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

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-delete], [data-rotate], [data-rotate-keys]");
  if (button?.dataset.delete) {
    askDelete(button.dataset.delete);
  } else if (button?.dataset.rotate) {
    askRotate(button.dataset.rotate);
  } else if (button?.dataset.rotateKeys) {
    askRotateKeys(button.dataset.rotateKeys);
  }
});
