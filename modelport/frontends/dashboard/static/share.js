// Shared links of a deployment: make one, see what there is, revoke one.
import { ask, make, say } from "./common.js";
import { question } from "./questions.js";

const panel = document.getElementById("share");
const form = document.getElementById("share-form");
const path = `/deployments/${encodeURIComponent(panel.dataset.name)}/links`;
const at = (id) => document.getElementById(`share-${id}`);

function told(problem) {
  at("problem").textContent = problem;
  at("problem").hidden = !problem;
}

const time = (text) => make("time", { dateTime: text }, new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }));

/** On a phone there is no head over the columns: the label stands in the cell. */
function cell(content) {
  const [label, value] = Array.isArray(content) ? content : ["", content];
  return make("td", { role: "cell" }, make("span", { className: "cell-label soft" }, label && `${label}: `), value);
}

function row(link) {
  const name = make("th", { scope: "row", role: "rowheader" }, make("span", { className: "mono" }, link.id), link.note ? ` ${link.note}` : "");
  const calls = link.calls_limit === null ? String(link.calls) : `${link.calls} of ${link.calls_limit}`;
  const button = make("button", { className: "button small quiet", type: "button" }, "Revoke");
  button.dataset.revoke = link.id;
  button.setAttribute("aria-label", `Revoke the link ${link.id}`);
  const cells = [link.state, ["Ends", time(link.until)], ["Calls", calls], ["Last call", link.used ? time(link.used) : "none yet"]];
  return make("tr", { role: "row" }, name, ...cells.map(cell), make("td", { role: "cell", className: "act" }, button));
}

async function list() {
  const links = await ask("GET", path);
  at("links").tBodies[0].replaceChildren(...links.map(row));
  at("links").hidden = !links.length;
}

const askRevoke = question("revoke", async (id) => {
  await ask("DELETE", `${path}/${id}`);
  say("The link is revoked.");
  await list();
});

function start() {
  at("until").addEventListener("change", () => {
    at("day").hidden = at("until").value !== "";
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    told("");
    const until = at("until").value || at("date").value;
    if (!until) {
      told("Choose the last day of the link.");
      return;
    }
    try {
      const calls = at("calls").value;
      const link = await ask("POST", path, { until, calls_limit: calls ? Number(calls) : null, note: at("note").value });
      at("url").textContent = link.url;
      at("token").textContent = link.token;
      at("shell").textContent = `curl -s -H "Authorization: Bearer ${link.token}" -d '{"help": ""}' ${link.endpoint}`;
      at("made").hidden = false;
      await list();
    } catch (error) {
      told(error.message);
    }
  });
  panel.addEventListener("click", ({ target }) => {
    const id = target.closest?.("[data-revoke]")?.dataset.revoke;
    if (id) {
      askRevoke(id);
    }
  });
  list().catch((error) => told(error.message));
}

if (form) {
  start();
}
