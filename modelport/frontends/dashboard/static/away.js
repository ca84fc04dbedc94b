// The server cannot be reached: the page says so, and a click does not leave it for the browser's own page of errors.
import { make, say } from "./common.js";

const { root } = document.body.dataset;
// What has been found out holds so long; whoever takes longer than PROBE_MS to answer is not there.
const FRESH_MS = 2000;
const PROBE_MS = 10_000;
// What a proxy answers in place of a server that is not there.
const GATEWAY = [502, 503, 504];

let away = false;
let asked = 0;
let held = null; // the dialog over a page that waits for the server

/** Say, as long as it lasts, that what the page shows is not new any more. */
export function setAway(yes) {
  if (yes !== away) {
    away = yes;
    say(yes ? "The server is not responding. This page may be out of date." : "", yes);
    yes ? setTimeout(probe, FRESH_MS) : held?.close("back");
  }
}

async function probe() {
  asked = Date.now();
  const options = { cache: "no-store", signal: AbortSignal.timeout(PROBE_MS) };
  const answer = await fetch(`${root}/health`, options).catch(() => null);
  const gone = !answer || GATEWAY.includes(answer.status);
  if (gone && away) {
    setTimeout(probe, FRESH_MS);
  }
  setAway(gone);
}

document.addEventListener("htmx:sendError", () => setAway(true));
document.addEventListener("htmx:afterOnLoad", () => setAway(false));

/** Follow a link of ours, as soon as the server is there. */
export function go(address) {
  away ? hold(address) : location.assign(address);
}

function hold(address) {
  const stay = make("button", { type: "button", className: "button", autofocus: true }, "Stay here");
  const told = make("p", {}, `This page stays as it is.${address ? " The link opens as soon as the server responds." : ""}`);
  held = make("dialog", { ariaLabel: "The server is not responding" }, make("h2", {}, "The server is not responding"), told, make("div", { className: "actions" }, stay));
  stay.addEventListener("click", () => held.close());
  held.addEventListener("close", ({ target }) => {
    target.remove();
    held = held === target ? null : held; // the next may have been opened before this event came
    if (target.returnValue === "back" && address) {
      location.assign(address);
    }
  });
  document.body.append(held);
  held.showModal();
}

/** A link within this tab that has to ask the server. */
function asks(link) {
  const here = link?.href.split("#")[0] === location.href.split("#")[0] && link.hash;
  return link && !here && !link.target && !link.hasAttribute("download") && link.origin === location.origin;
}

// Whoever is about to follow a link points at it first, or has it in focus: by the click it is known whether the server is there.
for (const name of ["pointerover", "pointerdown", "focusin"]) {
  document.addEventListener(name, (event) => {
    if (!away && asks(event.target.closest?.("a[href]")) && Date.now() - asked > FRESH_MS) {
      probe();
    }
  });
}
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  const elsewhere = event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
  if (away && !elsewhere && !event.defaultPrevented && asks(link)) {
    event.preventDefault();
    hold(link.href);
  }
});
document.addEventListener("submit", (event) => {
  if (away && !event.defaultPrevented) {
    event.preventDefault();
    hold(null);
  }
});
