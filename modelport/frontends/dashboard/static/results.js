// An answer, shown as what it is.
import { copy, make } from "./common.js";
import { barsOf, bars } from "./bars.js";
import { boxesOf, boxes } from "./boxes.js";
import { inside, parse } from "./exact.js";
import { playerOf, sizeText } from "./files.js";
import { gallery, mediaIn } from "./media.js";
import { tableOf, tableOfCsv, tableView } from "./tables.js";
import { textView } from "./texts.js";
import { tree } from "./tree.js";

// Text beyond this is downloaded, not shown.
const SHOWN_CHARS = 500_000;
// And a table beyond this is shown as text.
const TABLE_BYTES = 20 << 20;
const TABLES = ["text/csv", "text/tab-separated-values"];

/** Put an answer into `place`. files: what was sent with it. called: it comes from a predict endpoint, not from a job. */
export async function show(place, response, files, called = false) {
  const type = (response.headers.get("Content-Type") ?? "").split(";")[0].trim().toLowerCase();
  const blob = await response.blob();
  const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? "result";
  if (type === "application/json") {
    const text = await blob.text();
    place.replaceChildren(...jsonViews(called ? inside(text) : text, files));
  } else {
    place.replaceChildren(...(await fileViews(blob, type, name)));
  }
}

function jsonViews(text, files) {
  const value = JSON.parse(text);
  const views = [];
  const image = files.find(({ file }) => file.type.startsWith("image/"))?.file;
  const found = boxesOf(value);
  if (found) {
    views.push(boxes(found, image));
  }
  const shares = found ? null : barsOf(value);
  if (shares) {
    views.push(bars(shares));
  }
  const media = mediaIn(value);
  if (media.length) {
    views.push(gallery(media));
  }
  if (typeof value === "string" && !media.length) {
    return [textView(value)];
  }
  const exact = parse(text);
  const table = found || shares ? null : tableOf(exact);
  if (table) {
    views.push(tableView(table));
  }
  views.push(jsonView(text, exact));
  return views;
}

/** What is copied and downloaded is what the server sent. */
function jsonView(text, exact) {
  const copying = make("button", { type: "button", className: "button small", textContent: "Copy" });
  copying.addEventListener("click", () => copy(text));
  const download = link(new Blob([text], { type: "application/json" }), "result.json");
  const head = make("div", { className: "view-head" }, make("h3", {}, "JSON"), make("div", { className: "actions" }, copying, download));
  return make("div", { className: "view" }, head, tree(exact));
}

function link(blob, name) {
  return make("a", { className: "button small", href: URL.createObjectURL(blob), download: name, textContent: "Download" });
}

async function fileViews(blob, type, name) {
  const table = TABLES.includes(type) && blob.size <= TABLE_BYTES ? tableOfCsv(await blob.text()) : null;
  if (type.startsWith("text/") && !table && type !== "text/html" && blob.size <= SHOWN_CHARS) {
    return [textView(await blob.text(), { title: type, name, formatted: type === "text/markdown" })];
  }
  return [...(table ? [tableView(table)] : []), await fileView(blob, type, name)];
}

async function fileView(blob, type, name) {
  const head = make("div", { className: "view-head" }, make("h3", {}, `${type || "file"}, ${sizeText(blob.size)}`), link(blob, name));
  return make("div", { className: "view" }, head, ...(await shown(blob, type, name)));
}

async function shown(blob, type, name) {
  // SVG as a picture runs no script.
  const player = playerOf(blob, type, name);
  if (player) {
    player.classList.add("shown");
    return [player];
  }
  if (type === "application/pdf") {
    return [make("iframe", { className: "shown", title: name, src: URL.createObjectURL(blob) })];
  }
  if (type.startsWith("text/") || type.endsWith("+json") || type.endsWith("xml")) {
    const text = await blob.slice(0, SHOWN_CHARS).text();
    return [make("pre", { className: "code wrap", tabIndex: 0 }, text)];
  }
  return [make("p", { className: "soft" }, "A browser cannot show this; download it.")];
}
