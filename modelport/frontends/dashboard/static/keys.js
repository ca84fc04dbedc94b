// Keys that lead to the pages; ? shows them.
import { go } from "./away.js";
import { make } from "./common.js";

const { base } = document.body.dataset;
// A page that a shared link has opened leads nowhere else.
const PAGES = !document.querySelector("nav") ? {} : { m: ["Modules", ""], s: ["Services", "inference"], j: ["Jobs", "jobs"], t: ["Trainings", "trainings"], f: ["Files", "files"], i: ["Status", "status"] };
const OTHERS = [
  ["/", "Search"],
  ["Ctrl + Enter", "Run, in a service's form"],
  ["Escape", "Close a dialog"],
  ["?", "Show these keys"],
];

function help() {
  const rows = [...Object.entries(PAGES).map(([key, [title]]) => [`g ${key}`, title]), ...OTHERS];
  const close = make("button", { type: "button", className: "button", autofocus: true }, "Close");
  const list = make("dl", { className: "keys" }, ...rows.flatMap(([key, what]) => [make("dt", {}, ...key.split(" ").map((each) => (each === "+" ? "+" : make("kbd", {}, each)))), make("dd", {}, what)]));
  const dialog = make("dialog", { ariaLabel: "Keys" }, make("h2", {}, "Keys"), list, make("div", { className: "actions" }, close));
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

document.getElementById("keys")?.addEventListener("click", help);

let before = "";

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (key === "Enter" && event.ctrlKey) {
    document.getElementById("call")?.requestSubmit();
    return;
  }
  const typed = target.closest("input:not([type=checkbox], [type=range]), textarea, select, dialog[open], [contenteditable]");
  if (typed || event.ctrlKey || event.metaKey || event.altKey) {
    before = "";
    return;
  }
  const search = document.querySelector('main input[type="search"]');
  if (before === "g" && PAGES[key]) {
    go(`${base}/${PAGES[key][1]}`);
  } else if (key === "?") {
    help();
  } else if (key === "/" && search) {
    event.preventDefault();
    search.focus();
  }
  before = key;
});
