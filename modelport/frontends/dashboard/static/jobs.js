// The list of jobs, live: what changes is asked for anew, progress is drawn as it is told.
import { actions } from "./acting.js";
import { ask, refresh, say } from "./common.js";
import { question } from "./questions.js";
import { tick } from "./times.js";
import { listen } from "./watching.js";

// Many jobs may begin and end at once; the list is asked for so often at most.
const LEAST_MS = 500;

let due = null;
let asked = 0;

function refreshSoon() {
  if (due === null) {
    due = setTimeout(() => {
      due = null;
      asked = performance.now();
      refresh("#jobs");
    }, Math.max(0, asked + LEAST_MS - performance.now()));
  }
}

function progress({ job, fraction, message }) {
  const place = document.querySelector(`[data-progress="${job}"]`);
  if (!place) {
    return;
  }
  const bar = place.querySelector("progress");
  place.hidden = false;
  if (typeof fraction === "number") {
    bar.value = fraction;
  } else {
    bar.removeAttribute("value");
  }
  place.querySelector("[data-message]").textContent = message;
}

const live = document.getElementById("live");

function begun({ jobs }) {
  live.textContent = "Live";
  jobs.filter((each) => each.progress).forEach((each) => progress({ job: each.id, ...each.progress }));
  refreshSoon();
}

function quiet() {
  live.textContent = "";
}

/** Only the board shows metrics. */
function measured() {
  if (document.getElementById("curves")) {
    refreshSoon();
  }
}

let end = () => {};
let followed = null;

/** One stream, of the service that is looked at, or of all. */
function follow() {
  const { deployment } = document.getElementById("jobs").dataset;
  if (deployment !== followed) {
    followed = deployment;
    end();
    const path = deployment ? `/events?deployment=${encodeURIComponent(deployment)}` : "/events";
    end = listen(path, { jobs: begun, state: refreshSoon, progress, metrics: measured, missed: refreshSoon, lost: quiet }, () => {
      quiet();
      refreshSoon();
    });
  }
}

actions({
  deleted: () => {
    say("Deleted.");
    refreshSoon();
  },
  cancelled: refreshSoon,
  again: (job) => {
    say(`Running again as ${job.id.slice(-8)}.`);
    refreshSoon();
  },
});
const askDeleteEnded = question("delete-ended", async (query) => {
  const { removed } = await ask("DELETE", `/jobs?${query}`);
  say(removed === 1 ? "One job is deleted." : `${removed} jobs are deleted.`);
  refreshSoon();
});
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-delete-ended]");
  if (button) {
    const { deleteEnded: deployment, state } = button.dataset;
    askDeleteEnded(new URLSearchParams({ deployment, ...(state && { status: state }) }), `jobs of ${deployment} that have ${state || "ended"}`);
  }
});
document.addEventListener("htmx:afterSettle", () => {
  tick();
  follow();
});
follow();
