// Deleting a deployment and renewing its token, after a question.
import { ask, make, say } from "./common.js";
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

// It may be deleted elsewhere while its page is open.
document.addEventListener("htmx:responseError", ({ detail }) => {
  if (detail.xhr.status === 404 && detail.elt.id === "details") {
    detail.elt.replaceWith(make("p", { className: "notice warn", role: "status" }, "This service has been deleted."));
    document.querySelectorAll(".head .actions .button").forEach((button) => button.remove());
  }
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
