// What jobs do, as it happens: one stream of events for a page, and asking again where there is none to be had.
import { setAway } from "./away.js";

const root = document.body.dataset.root;
const ASK_MS = 1500;
const AGAIN_MS = 15_000;
const FINAL = new Set(["succeeded", "failed", "cancelled"]);

export const isFinal = (status) => FINAL.has(status);

/**
 * Events of `path` for handlers by their names; `poll(false)` is called instead, every now and then, where the server has
 * no more room for streams, and `poll(true)` where a stream begins anew, for what has happened meanwhile. A page that
 * nobody looks at lets its stream go: a browser has but six connections to a server for all of its pages. Returns a
 * function that ends it.
 */
export function listen(path, handlers, poll) {
  let source = null;
  let asking = null;
  let again = null;
  let over = false;

  function open() {
    if (source || over || document.hidden) {
      return;
    }
    source = new EventSource(root + path);
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => event.data !== undefined && handle(JSON.parse(event.data)));
    }
    source.addEventListener("open", () => {
      stopAsking();
      setAway(false);
      handlers.opened?.();
    });
    source.addEventListener("error", () => {
      setAway(source?.readyState === EventSource.CONNECTING);
      handlers.lost?.();
      if (source?.readyState === EventSource.CLOSED) {
        close();
        startAsking();
      }
    });
  }

  function close() {
    source?.close();
    source = null;
  }

  function startAsking() {
    if (!over && asking === null) {
      asking = setInterval(() => poll(false), ASK_MS);
      again = setTimeout(() => {
        stopAsking();
        open();
      }, AGAIN_MS);
    }
  }

  function stopAsking() {
    clearInterval(asking);
    clearTimeout(again);
    asking = null;
  }

  function looked() {
    if (document.hidden) {
      close();
      stopAsking();
    } else {
      poll(true);
      open();
    }
  }

  document.addEventListener("visibilitychange", looked);
  addEventListener("pagehide", close);
  open();
  return () => {
    over = true;
    close();
    stopAsking();
    document.removeEventListener("visibilitychange", looked);
  };
}

/** Follow one job. handlers: state(document), progress({fraction, message}), printed(text), metrics(), artifact(link), begun() before the log comes
 * from its beginning; if wanted, value({index, value}) of a generator. Returns a function that ends it; it ends by itself with the job. */
export function watchJob(id, { state, progress, printed, metrics = () => {}, artifact = () => {}, value, begun }) {
  let end = () => {};
  let ended = false;
  const told = (document_) => {
    if (ended) {
      return;
    }
    if (isFinal(document_.status)) {
      // After the last of the log, which comes before in some streams and behind in others.
      ended = true;
      setTimeout(() => end(), 0);
    }
    state(document_);
  };
  const ask = async (streaming) => {
    if (streaming) {
      return; // which begins with how the job stands, and its whole log
    }
    const response = await fetch(`${root}/jobs/${id}`).catch(() => null);
    if (response?.ok) {
      const document_ = await response.json();
      begun();
      printed(document_.log.tail);
      told(document_);
    }
  };
  end = listen(`/jobs/${id}/events${value ? "" : "?values=0"}`, { opened: begun, state: told, progress, ...(value && { value }), metrics, artifact: ({ artifact: link }) => artifact(link), log: ({ text }) => printed(text) }, ask);
  return end;
}
