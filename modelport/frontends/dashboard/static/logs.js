// The log of a deployment, live.
import { append, follow } from "./following.js";

const log = document.getElementById("log");
const state = document.getElementById("log-state");
const following = document.getElementById("follow");
const AGAIN_MS = 2000;

async function run() {
  for (;;) {
    try {
      log.textContent = "";
      state.textContent = "Live. Nothing has been printed yet.";
      await follow(
        log.dataset.log,
        (text) => {
          state.textContent = "Live.";
          append(log, text, following.checked);
        },
        undefined,
      );
      state.textContent = "The service has been undeployed.";
      return;
    } catch {
      state.textContent = "The connection was lost; trying again …";
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

following.addEventListener("change", () => {
  if (following.checked) {
    log.scrollTop = log.scrollHeight;
  }
});
run();
