// An answer, shown as what it is.
import { copy, make } from "./common.js";
import { barsOf, bars } from "./bars.js";
import { boxesOf, boxes } from "./boxes.js";
import { inside, parse } from "./exact.js";
import { playerOf, sizeText } from "./files.js";
import { gallery, picturesOf } from "./media.js";
import { tree } from "./tree.js";

// Text beyond this is downloaded, not shown.
const SHOWN_CHARS = 500_000;

/** Put an answer into `place`. files: what was sent with it. called: it comes from a predict endpoint, not from a job. */
export async function show(place, response, files, called = false) {
  const type = (response.headers.get("Content-Type") ?? "").split(";")[0].trim().toLowerCase();
  const blob = await response.blob();
  const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? "result";
  if (type === "application/json") {
    const text = await blob.text();
    place.replaceChildren(...jsonViews(called ? inside(text) : text, files));
  } else {
    place.replaceChildren(await fileView(blob, type, name));
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
  const pictures = picturesOf(value);
  if (pictures.length) {
    views.push(make("div", { className: "view" }, make("div", { className: "view-head" }, make("h3", {}, pictures.length === 1 ? "Picture" : "Pictures")), gallery(pictures)));
  }
  views.push(jsonView(text));
  return views;
}

/** What is copied and downloaded is what the server sent. */
function jsonView(text) {
  const copying = make("button", { type: "button", className: "button small", textContent: "Copy" });
  copying.addEventListener("click", () => copy(text));
  const download = link(new Blob([text], { type: "application/json" }), "result.json");
  const head = make("div", { className: "view-head" }, make("h3", {}, "JSON"), make("div", { className: "actions" }, copying, download));
  return make("div", { className: "view" }, head, tree(parse(text)));
}

function link(blob, name) {
  return make("a", { className: "button small", href: URL.createObjectURL(blob), download: name, textContent: "Download" });
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
