// Check a module: the public API is asked to, and the panel then shows what is known of it.
import { ask, make, say } from "./common.js";

const { base } = document.body.dataset;

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-check]");
  if (!button) {
    return;
  }
  const id = encodeURIComponent(button.dataset.check);
  button.disabled = true;
  button.replaceChildren(make("span", { className: "spinner" }), " Checking …");
  try {
    await ask("POST", `/modules/${id}/check`);
  } catch (error) {
    say(error.message);
  }
  // Also after an error: a proxy may have given up before the check, which goes on.
  window.htmx.ajax("GET", `${base}/modules/${id}/check`, { target: "#check", swap: "outerHTML" });
});
