// Lists of objects and CSV as a table: sorted, searched, a hundred rows a page, to be downloaded.
import { make } from "./common.js";
import { figure, isFigure, stringify } from "./exact.js";
import { histogram } from "./histogram.js";

const PAGE_ROWS = 100;
const MOST_COLUMNS = 60;
const CELL_CHARS = 200;

/** {columns, rows} where the answer is a list of objects, or holds one beside single values; else null. */
export function tableOf(value) {
  if (Array.isArray(value)) {
    return fromObjects(value);
  }
  if (value === null || typeof value !== "object" || isFigure(value)) {
    return null;
  }
  const compound = Object.values(value).filter((each) => each !== null && typeof each === "object" && !isFigure(each));
  return compound.length === 1 && Array.isArray(compound[0]) ? fromObjects(compound[0]) : null;
}

function fromObjects(list) {
  if (!list.length || !list.every((each) => each !== null && typeof each === "object" && !Array.isArray(each) && !isFigure(each))) {
    return null;
  }
  const columns = [...new Set(list.flatMap((each) => Object.keys(each)))];
  return columns.length && columns.length <= MOST_COLUMNS ? { columns, rows: list.map((each) => columns.map((name) => each[name])) } : null;
}

/** The same of CSV, whose numbers keep their digits; null where it has but one column or no rows. */
export function tableOfCsv(text) {
  const [columns, ...rows] = records(text.replace(/^\uFEFF/, ""));
  if (!columns || columns.length < 2 || columns.length > MOST_COLUMNS || !rows.length || rows.some((row) => row.length !== columns.length)) {
    return null;
  }
  columns.forEach((_, at) => {
    if (rows.every((row) => row[at] === "" || !Number.isNaN(number(row[at])))) {
      rows.forEach((row) => (row[at] = row[at] === "" ? null : figure(row[at])));
    }
  });
  return { columns, rows };
}

function number(text) {
  return Number(String(figure(text)));
}

function records(text) {
  const first = text.slice(0, text.indexOf("\n") + 1 || undefined);
  const mark = [",", ";", "\t"].reduce((best, each) => (first.split(each).length > first.split(best).length ? each : best));
  const token = new RegExp(`(?:"((?:[^"]|"")*)"|([^${mark}\\r\\n]*))(${mark}|\\r?\\n|$)`, "y");
  const found = [];
  let row = [];
  while (token.lastIndex < text.length) {
    const match = token.exec(text);
    if (!match) {
      return []; // quotes within a value
    }
    row.push(match[1] === undefined ? match[2] : match[1].replaceAll('""', '"'));
    if (match[3] !== mark) {
      found.push(row);
      row = [];
    }
  }
  return row.length ? [...found, [...row, ""]] : found;
}

/** The view. heading: to stand in place of the number of rows. */
export function tableView({ columns, rows }, heading = null) {
  const count = heading ?? make("h3");
  const search = make("input", { type: "search", placeholder: "Search", ariaLabel: "Search the rows" });
  const downloads = [
    ["CSV", "text/csv", "result.csv", csv],
    ["JSON Lines", "application/jsonl", "result.jsonl", jsonLines],
  ].map(([label, type, name, write]) => {
    const button = make("button", { type: "button", className: "button small" }, label);
    button.addEventListener("click", () => download(new Blob([write(columns, shown)], { type }), name));
    return button;
  });
  const heads = columns.map((name, at) => {
    const button = make("button", { type: "button", className: "sorter" }, name);
    button.addEventListener("click", () => sort(at));
    return make("th", { scope: "col" }, button);
  });
  const numeric = columns.map((_, at) => rows.every((row) => row[at] === null || row[at] === undefined || isFigure(row[at])));
  heads.forEach((head, at) => head.classList.toggle("number", numeric[at]));
  const body = make("tbody");
  const texts = rows.map((row) => row.map(cellText));
  const pager = make("div", { className: "pager" });
  let shown = rows;
  let order = { at: -1, down: false };
  let page = 0;

  function sort(at) {
    order = { at, down: order.at === at && !order.down };
    heads.forEach((head, index) => (index === at ? head.setAttribute("aria-sort", order.down ? "descending" : "ascending") : head.removeAttribute("aria-sort")));
    choose();
  }

  function choose() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = rows.filter((_, index) => words.every((word) => texts[index].some((text) => text.toLowerCase().includes(word))));
    if (order.at >= 0) {
      shown = shown.toSorted((one, other) => compare(one[order.at], other[order.at], order.down));
    }
    page = 0;
    drawBars();
    draw();
  }

  /** Of the rows that are shown. */
  function drawBars() {
    heads.forEach((head, at) => {
      head.querySelector("svg")?.remove();
      const bars = numeric[at] ? histogram(shown.map((row) => row[at])) : null;
      head.append(...(bars ? [bars] : []));
    });
  }

  function draw() {
    const from = page * PAGE_ROWS;
    body.replaceChildren(...shown.slice(from, from + PAGE_ROWS).map((row) => make("tr", {}, ...row.map((value, at) => make("td", { className: numeric[at] ? "number" : "" }, cut(cellText(value)))))));
    const total = `${rows.length} ${rows.length === 1 ? "row" : "rows"}`;
    if (!heading) {
      count.textContent = shown.length === rows.length ? total : `${shown.length} of ${total}`;
    }
    pager.hidden = shown.length <= PAGE_ROWS;
    const turn = (label, to, able) => {
      const button = make("button", { type: "button", className: "button small", disabled: !able }, label);
      button.addEventListener("click", () => {
        page = to;
        draw();
      });
      return button;
    };
    const last = Math.min(from + PAGE_ROWS, shown.length);
    pager.replaceChildren(make("span", { className: "soft small" }, `${from + 1} to ${last} of ${shown.length}`), turn("Previous", page - 1, page > 0), turn("Next", page + 1, last < shown.length));
  }

  search.addEventListener("input", choose);
  drawBars();
  draw();
  const table = make("table", { className: "table" }, make("thead", {}, make("tr", {}, ...heads)), body);
  const place = make("div", { className: "found rows", tabIndex: 0, ariaLabel: "Rows", role: "region" }, table);
  const head = make("div", { className: "view-head" }, count, make("div", { className: "actions" }, search, ...downloads));
  return make("div", { className: "view" }, head, place, pager);
}

function cellText(value) {
  if (value === null || value === undefined) {
    return "";
  }
  return typeof value === "object" && !isFigure(value) ? stringify(value) : String(value);
}

function cut(text) {
  return text.length > CELL_CHARS ? `${text.slice(0, CELL_CHARS)} …` : text;
}

/** What is empty comes last, either way. */
function compare(one, other, down) {
  const [left, right] = [cellText(one), cellText(other)];
  if (left === "" || right === "") {
    return (left === "") - (right === "");
  }
  const by = isFigure(one) && isFigure(other) ? Number(left) - Number(right) : left.localeCompare(right, undefined, { numeric: true });
  return down ? -by : by;
}

function csv(columns, rows) {
  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return [columns, ...rows].map((row) => row.map((value) => quoted(inert(value))).join(",")).join("\r\n") + "\r\n";
}

/** Spreadsheets run text that begins like a formula; after an apostrophe it stays text. */
function inert(value) {
  const text = cellText(value);
  return !isFigure(value) && /^[=+\-@\t\r\n]/.test(text) ? `'${text}` : text;
}

function jsonLines(columns, rows) {
  return rows.map((row) => `${stringify(Object.fromEntries(columns.map((name, at) => [name, row[at]])))}\n`).join("");
}

function download(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
