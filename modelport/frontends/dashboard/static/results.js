// An answer, shown as what it is.
import { copy, make, unreached } from "./common.js";
import { barsOf, bars } from "./bars.js";
import { boxes } from "./boxes.js";
import { inside, parse } from "./exact.js";
import { playerOf, sizeText } from "./files.js";
import { featuresOf, geoView } from "./geo.js";
import { gallery, mediaIn, mediaOf } from "./media.js";
import { seriesOf, seriesView } from "./series.js";
import { thingsOf } from "./shapes.js";
import { tableOf, tableOfCsv, tableView } from "./tables.js";
import { textView } from "./texts.js";
import { tree } from "./tree.js";
import { zoomable } from "./zoom.js";

// Text beyond this is downloaded, not shown.
const SHOWN_CHARS = 500_000;
// And a table beyond this is shown as text.
const TABLE_BYTES = 20 << 20;
const TABLES = ["text/csv", "text/tab-separated-values"];
const JSONS = ["application/json", "application/geo+json"];
// An answer of more parts than this is a list, and text longer than a line is to be read.
const MOST_PARTS = 12;
const LINE_CHARS = 80;
// Where pictures lie that are drawn over the one that was sent.
const MASKS = /(?:^|· )(?:masks?|segmentation)(?: ·|$)/;

/** Put an answer into `place`; throws only where its bytes do not come. files: what was sent with it. called: it comes from a
 * predict endpoint, not from a job. */
export async function show(place, response, files, called = false) {
  const type = (response.headers.get("Content-Type") ?? "").split(";")[0].trim().toLowerCase();
  const blob = await response.blob().catch(unreached);
  const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? "result";
  let views;
  try {
    views = await viewsOfAnswer(blob, type, name, files, called);
  } catch (error) {
    views = [undrawn(error), await fileView(blob, type, name)];
  }
  place.replaceChildren(...views);
}

async function viewsOfAnswer(blob, type, name, files, called) {
  if (!JSONS.includes(type)) {
    return fileViews(blob, type, name);
  }
  const text = await blob.text();
  return jsonViews(called ? inside(text) : text, files);
}

/** Models answer in forms that no view has met. */
function undrawn(error) {
  return make("p", { className: "notice warn" }, `The dashboard cannot draw this answer (${error.message}). Here it is as the server sent it.`);
}

function jsonViews(text, files) {
  const value = JSON.parse(text);
  const exact = parse(text);
  if (typeof value === "string" && !mediaOf(value)) {
    return [textView(value)];
  }
  const image = files.find(({ file }) => file.type.startsWith("image/"))?.file;
  return [...tried(() => viewsOf(value, exact, image)), jsonView(text, exact)];
}

function tried(draw) {
  try {
    return draw();
  } catch (error) {
    return [undrawn(error)];
  }
}

/** What the answer is; or else what its parts are, side by side; or else what lies in it. */
function viewsOf(value, exact, image) {
  const media = mediaIn(value).filter(({ name }) => !image || !MASKS.test(name));
  const pictures = media.length ? [gallery(media)] : [];
  const whole = viewsOfOne(value, exact, image, false);
  const parts = whole.length ? [] : partsOf(value, exact, image);
  if (parts.length + pictures.length > 1) {
    return [make("div", { className: "outputs" }, ...parts, ...pictures)];
  }
  if (whole.length) {
    return [...whole, ...pictures];
  }
  const inner = viewsOfOne(value, exact, image, true);
  return [...(inner.length ? inner : parts), ...pictures];
}

/** deep: also what lies in it beside single values. */
function viewsOfOne(value, exact, image, deep) {
  const things = thingsOf(value, deep);
  const shares = things ? null : barsOf(value, deep);
  const features = things || shares ? null : featuresOf(value);
  if (things || shares || features) {
    return [things ? boxes(things, image) : shares ? bars(shares) : geoView(features, exact)];
  }
  const series = seriesOf(value);
  const table = deep || Array.isArray(value) ? tableOf(exact) : null;
  return [...(series ? [seriesView(series)] : []), ...(table ? [tableView(table)] : [])];
}

function partsOf(value, exact, image) {
  const entries = value !== null && typeof value === "object" ? Object.entries(value) : [];
  if (entries.length > MOST_PARTS) {
    return [];
  }
  return entries.flatMap(([name, inner]) => {
    const long = typeof inner === "string" && (inner.length > LINE_CHARS || inner.includes("\n")) && !mediaOf(inner);
    const views = long ? [textView(inner, { title: name, name: `${name}.txt` })] : viewsOfOne(inner, exact[name], image, true);
    const title = long ? [] : [make("h3", { className: "output-name" }, Array.isArray(value) ? `Output ${Number(name) + 1}` : name)];
    return views.length ? [make("section", {}, ...title, ...views)] : [];
  });
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
    return [type.startsWith("image/") ? zoomable(make("div", { className: "stage" }, player), player, name) : player];
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
