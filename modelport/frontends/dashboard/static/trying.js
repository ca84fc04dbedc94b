// Try a module: a deployment that is gone when nobody has used it for a while.
import { ask, say } from "./common.js";

for (const button of document.querySelectorAll("[data-try]")) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const made = await ask("POST", "/deployments", { ...JSON.parse(button.dataset.try), temporary: true });
      location.assign(`${document.body.dataset.base}/inference/${encodeURIComponent(made.name)}/invoke`);
    } catch (error) {
      say(error.message);
      button.disabled = false;
    }
  });
}
