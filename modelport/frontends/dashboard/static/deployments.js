// Deleting a deployment and renewing its token, after a question.
import { ask, say } from "./common.js";

const base = document.body.dataset.base;

/** Ask in a dialog; `work` is done when the answer is yes, and its error shown there. */
function question(id, work) {
  const dialog = document.getElementById(id);
  if (!dialog) {
    return () => {};
  }
  let subject = "";
  const confirm = dialog.querySelector("[data-confirm]");
  const problem = dialog.querySelector("[data-problem]");
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  confirm.addEventListener("click", async () => {
    confirm.disabled = true;
    try {
      await work(subject);
      dialog.close();
    } catch (error) {
      problem.textContent = error.message;
    } finally {
      confirm.disabled = false;
    }
  });
  return (name) => {
    subject = name;
    problem.textContent = "";
    dialog.querySelectorAll("[data-name]").forEach((each) => (each.textContent = name));
    dialog.showModal();
  };
}

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

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-delete], [data-rotate]");
  if (button?.dataset.delete) {
    askDelete(button.dataset.delete);
  } else if (button?.dataset.rotate) {
    askRotate(button.dataset.rotate);
  }
});
