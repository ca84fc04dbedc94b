// What every page has: requests to the server's APIs, copying, tabs, colours.

const root = document.body?.dataset.root ?? "";

export const SIGNED_OUT = "You have been signed out. Load this page again to sign in.";

/** An answer that is no success, as an error: message, status, and what the server said of each field. */
export class Refused extends Error {
  constructor(status, message, fields = {}) {
    super(message);
    this.status = status;
    this.fields = fields;
  }
}

/** What a failure of fetch means. */
export function unreached(error) {
  throw error.name === "AbortError" ? error : new Refused(0, "The server is not responding. Is it still running?");
}

/** Ask one of the server's APIs; the answer's JSON, or null where there is none. Throws Refused. */
export async function ask(method, path, body) {
  const options = { method, headers: { Accept: "application/json" } };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const response = await fetch(root + path, options).catch(unreached);
  const text = await response.text();
  let document = null;
  try {
    document = text ? JSON.parse(text) : null;
  } catch {
    // A line of text.
  }
  if (response.status === 401) {
    throw new Refused(401, SIGNED_OUT);
  }
  if (!response.ok) {
    throw new Refused(response.status, document?.message ?? text.slice(0, 500), document?.fields);
  }
  return document;
}

// A service may be deleted elsewhere while a page of it is open: what follows its state is told so.
document.addEventListener("htmx:responseError", ({ detail }) => {
  if (detail.xhr.status === 404 && "service" in detail.elt.dataset) {
    const gone = make("p", { className: "notice warn", role: "status", id: "service-gone" }, "This service has been deleted.");
    document.querySelector("main > .head").after(gone);
    detail.elt.remove();
    document.querySelectorAll(".head .actions a.button, .head .actions [data-delete]").forEach((button) => button.remove());
  }
});

let silence;

/** A line at the bottom of the page, for a moment or until the next; screen readers say it. */
export function say(text, stays = false) {
  const said = document.getElementById("said");
  if (!said) {
    return;
  }
  said.textContent = text;
  clearTimeout(silence);
  silence = stays ? undefined : setTimeout(() => (said.textContent = ""), 4000);
}

/** Copy text; where the browser does not let us (plain http from afar), by a selection. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "hidden";
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say("Copied.");
}

/** An element: make("p", { className: "soft" }, "text", child). Many children: as a list, for arguments lie on the stack. */
export function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  children.flat().forEach((child) => element.append(child));
  return element;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-copy], [data-copy-of]");
  if (button) {
    copy(button.dataset.copy ?? document.getElementById(button.dataset.copyOf).textContent);
  }
  const shower = event.target.closest?.("[data-show]");
  if (shower) {
    const shown = document.getElementById(shower.dataset.show);
    const hide = shown.dataset.shown === "yes";
    shown.textContent = hide ? "•".repeat(24) : shown.dataset.secret;
    shown.dataset.shown = hide ? "no" : "yes";
    shower.textContent = hide ? "Show" : "Hide";
  }
});

// The colours: a cookie, so that the next page comes in them at once.
document.getElementById("theme")?.addEventListener("click", () => {
  const { dataset } = document.documentElement;
  const dark = dataset.theme ? dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  dataset.theme = dark ? "light" : "dark";
  document.cookie = `modelport-theme=${dataset.theme}; path=${root}/; max-age=31536000; SameSite=Strict`;
});

// What is replaced may have had the focus. htmx gives it back to what has the same id; where that has gone, the keys go on
// from the beginning of the content, not of the page.
let held = false;
document.addEventListener("htmx:beforeSwap", (event) => (held = event.detail.target.contains(document.activeElement)));
document.addEventListener("htmx:afterSettle", () => {
  if (held) {
    keepFocus();
  }
  held = false;
});

/** Where the focus has gone with what had it. */
export function keepFocus() {
  if (document.activeElement === document.body) {
    document.getElementById("main").focus({ preventScroll: true });
  }
}

// A page that nobody looks at does not ask how things are; it does when it is looked at again.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.elt.getAttribute("hx-trigger")?.startsWith("every")) {
    event.preventDefault();
  }
});

const stale = new Set(); // selectors of what is to be asked for once more

/**
 * Ask for the content of an element again. What is on its way may have been answered before whatever has changed, and
 * replaces the element, with all that waits there: so it is asked for after that.
 */
export function refresh(selector) {
  const element = document.querySelector(selector);
  if (element?.classList.contains("htmx-request")) {
    stale.add(selector);
  } else if (element) {
    window.htmx.trigger(element, "refresh");
  }
}

function refreshStale() {
  const selectors = [...stale];
  stale.clear();
  selectors.forEach(refresh);
}

document.addEventListener("htmx:afterSettle", refreshStale);
// What replaces nothing settles nothing.
document.addEventListener("htmx:afterRequest", ({ detail }) => (detail.successful && detail.xhr.status !== 204) || refreshStale());

// Tabs: arrows move between them, as the pattern for tabs asks.
for (const list of document.querySelectorAll('[role="tablist"]')) {
  const tabs = [...list.querySelectorAll('[role="tab"]')];
  const choose = (tab) => {
    for (const each of tabs) {
      const chosen = each === tab;
      each.setAttribute("aria-selected", String(chosen));
      each.tabIndex = chosen ? 0 : -1;
      document.getElementById(each.getAttribute("aria-controls")).hidden = !chosen;
    }
  };
  list.addEventListener("click", (event) => {
    const tab = event.target.closest('[role="tab"]');
    if (tab) {
      choose(tab);
    }
  });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) {
      const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
      choose(next);
      next.focus();
    }
  });
}

// On a phone the way to the other pages is a line that scrolls.
document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
