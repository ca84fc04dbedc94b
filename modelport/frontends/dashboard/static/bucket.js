// The files of a bucket: uploads with their progress and what becomes of them, a look at a file, deleting.
import { SIGNED_OUT, ask, make, refresh, say, unreached } from "./common.js";
import { sizeText } from "./files.js";
import { pageOf } from "./acting.js";
import { filesOf, hasFolder } from "./folders.js";
import { question } from "./questions.js";
import { show } from "./results.js";
import { tick } from "./times.js";
import { isFinal, listen } from "./watching.js";

const { root } = document.body.dataset;
const AT_ONCE = 3;
const LEAST_MS = 700;
const MOST_ROWS = 100;

let due = null;

function refreshSoon() {
  due ??= setTimeout(() => {
    due = null;
    refresh("#files");
  }, LEAST_MS);
}

// Uploads

const upload = document.getElementById("upload");
const rows = new Map(); // job → what shows its state
const waiting = [];
const early = new Map(); // states of jobs that came before their upload was answered
let sending = 0;
let counted = { all: 0, ended: 0, failed: 0 };

function begin(files) {
  counted.all += files.length;
  files.forEach(({ file, path }) => waiting.push({ file, path }));
  waiting.filter((each) => !each.state).slice(0, MOST_ROWS).forEach(addRow);
  document.getElementById("upload-results").hidden = false;
  line();
  next();
}

/** Of very many files, those are listed that are on their way, and those that failed. */
function addRow(upload_) {
  const table = document.getElementById("uploads");
  table.hidden = false;
  upload_.bar = make("progress", { max: 1, value: 0, ariaLabel: `Upload of ${upload_.path}` });
  upload_.state = make("td", { className: "at" }, make("span", { className: "soft" }, "waiting"));
  const size = make("td", { className: "number soft" }, sizeText(upload_.file.size));
  table.tBodies[0].append(make("tr", {}, make("th", { scope: "row" }, upload_.path), size, upload_.state));
}

function dropRow(element) {
  if (counted.all > MOST_ROWS) {
    element.closest("tr").remove();
  }
}

function next() {
  while (sending < AT_ONCE && waiting.length) {
    sending += 1;
    const each = waiting.shift();
    each.state ?? addRow(each);
    send(each)
      .catch((error) => {
        each.state.replaceChildren(make("span", { className: "bad" }, error.message));
        count(true);
      })
      .finally(() => {
        sending -= 1;
        next();
        if (!sending) {
          early.clear();
        }
      });
  }
}

/** By XMLHttpRequest, which tells how much has been sent. */
function send({ file, path, bar, state }) {
  const { deployment, prefix } = upload.dataset;
  const key = (prefix + path).split("/").map(encodeURIComponent).join("/");
  state.replaceChildren(bar);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", `${root}/files/${encodeURIComponent(deployment)}/${key}`);
    request.setRequestHeader("Content-Type", file.type || "application/octet-stream");
    request.upload.addEventListener("progress", (event) => event.lengthComputable && (bar.value = event.loaded / event.total));
    request.addEventListener("error", () => reject(new Error("The server is not responding.")));
    request.addEventListener("load", () => {
      let told = null;
      try {
        told = JSON.parse(request.responseText);
      } catch {
        // A line of text.
      }
      if (request.status !== 201) {
        reject(new Error(request.status === 401 ? SIGNED_OUT : told?.message ?? `The server answers ${request.status}.`));
        return;
      }
      refreshSoon();
      stored(told.job, state);
      resolve();
    });
    request.send(file);
  });
}

function stored(job, state) {
  if (!job) {
    state.replaceChildren("stored");
    count(false);
    return;
  }
  const status = make("span", { className: "state" });
  const bar = make("progress", { max: 1, hidden: true, ariaLabel: "Progress" });
  state.replaceChildren(make("a", { href: pageOf(job.id) }, status), bar);
  rows.set(job.id, { status, bar });
  told(early.get(job.id) ?? job);
}

function told(job) {
  const row = rows.get(job.id);
  if (!row) {
    // Of all the other jobs of this bucket nothing needs to be kept.
    if (sending) {
      early.set(job.id, job);
    }
    return;
  }
  row.status.className = `state ${job.status}`;
  row.status.textContent = job.status;
  row.status.title = job.error?.message ?? "";
  if (isFinal(job.status)) {
    row.bar.hidden = true;
    rows.delete(job.id);
    count(job.status !== "succeeded");
    if (job.status === "succeeded") {
      dropRow(row.status);
    }
  }
}

function progress({ job, fraction }) {
  const row = rows.get(job);
  if (row && typeof fraction === "number") {
    row.bar.hidden = false;
    row.bar.value = fraction;
  }
}

function count(failed) {
  counted.ended += 1;
  counted.failed += failed ? 1 : 0;
  line();
}

function line() {
  const { all, ended, failed } = counted;
  document.getElementById("upload-line").textContent = `${ended} of ${all} done${failed ? `, ${failed} of them failed` : ""}${ended === all ? "." : " …"}`;
}

if (upload) {
  const place = upload.querySelector("[data-drop]");
  const chosen = document.getElementById("chosen");
  chosen.addEventListener("change", () => {
    begin([...chosen.files].map((file) => ({ file, path: file.name })));
    chosen.value = "";
  });
  // Files alone are the browser's own business: it gives them to the input.
  place.addEventListener("drop", async (event) => {
    if (hasFolder(event.dataTransfer)) {
      event.preventDefault();
      begin(await filesOf(event.dataTransfer));
    }
  });
  for (const [event, over] of [["dragenter", true], ["dragleave", false], ["drop", false]]) {
    place.addEventListener(event, () => place.classList.toggle("over", over));
  }
}

// Live

const deployment = location.pathname.split("/").at(-1);
listen(
  `/events?deployment=${deployment}`,
  {
    jobs: ({ jobs }) => jobs.forEach(told),
    state: (job) => {
      told(job);
      // Outputs come a moment after the end.
      if (isFinal(job.status)) {
        refreshSoon();
        setTimeout(refreshSoon, 2 * LEAST_MS);
      }
    },
    progress,
  },
  async () => {
    refreshSoon();
    for (const id of rows.keys()) {
      const job = await ask("GET", `/jobs/${id}`).catch(() => null);
      job && told(job);
    }
  },
);

// A look at a file

const dialog = document.getElementById("shown-file");
dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());

async function look(button) {
  document.getElementById("shown-file-title").textContent = button.textContent;
  const place = document.getElementById("shown-file-place");
  place.replaceChildren(make("p", { className: "soft" }, "…"));
  dialog.showModal();
  await fill(place, button).catch((error) => place.replaceChildren(make("p", { className: "bad" }, error.message)));
}

async function fill(place, button) {
  const response = await fetch(button.dataset.showFile).catch(unreached);
  if (!response.ok) {
    place.replaceChildren(make("p", { className: "bad" }, response.status === 404 ? "It no longer exists." : "It is not available now."));
    return;
  }
  const { type } = button.dataset;
  await show(place, new Response(await response.blob().catch(unreached), { headers: { "Content-Type": type, "Content-Disposition": `attachment; filename="${button.textContent.replace(/[^\x20-\x7e]|"/g, "_")}"` } }), []);
}

const askDelete = question("delete-file", async (url) => {
  await ask("DELETE", url.slice(root.length));
  say("Deleted.");
  refreshSoon();
});

document.addEventListener("click", (event) => {
  const shower = event.target.closest?.("[data-show-file]");
  const remover = event.target.closest?.("[data-delete-file]");
  if (shower) {
    look(shower);
  } else if (remover) {
    askDelete(remover.dataset.deleteFile, remover.dataset.name);
  }
});
document.addEventListener("htmx:afterSettle", tick);
// It may be deleted elsewhere while its page is open.
document.addEventListener("htmx:responseError", ({ detail }) => {
  if (detail.xhr.status === 404) {
    detail.elt.replaceWith(make("p", { className: "notice warn", role: "status" }, "This service has been deleted. Its bucket and all files in it stay."));
    upload?.remove();
  }
});
