// Try a module: a deployment that is gone when nobody has used it for a while.
import { ask, say } from "./common.js";

// By what bubbles up: examples come later than the page.
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-try]");
  if (!button) {
    return;
  }
  button.disabled = true;
  try {
    const made = await ask("POST", "/deployments", { ...JSON.parse(button.dataset.try), temporary: true });
    const example = button.dataset.example ? `?example=${button.dataset.example}` : "";
    location.assign(`${document.body.dataset.base}/inference/${encodeURIComponent(made.name)}/invoke${example}`);
  } catch (error) {
    say(error.message);
    button.disabled = false;
  }
});
