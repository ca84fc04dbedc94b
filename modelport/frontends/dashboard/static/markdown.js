// Markdown as elements: headings, lists, quotes, code, tables, emphasis and links. Nothing of it becomes HTML by itself.
import { make } from "./common.js";

const FENCE = /^ {0,3}(```+|~~~+)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const QUOTE = /^ {0,3}> ?/;
const CELLS = /^\s*\|?(?:\s*:?-+:?\s*\|)+\s*:?-*:?\s*$/;
const DEEPEST = 20;
// In this order: code, pictures and links, then strong before emphasis.
const INLINE = /`([^`]+)`|!?\[([^\][]*)\]\(\s*<?([^\s()<>]+)>?(?:\s+"[^"]*")?\s*\)|\*\*([^*]+)\*\*|__([^_]+)__|\*([^*\s][^*]*)\*|(?<!\w)_([^_\s][^_]*)_(?!\w)|~~([^~]+)~~|\\([\\`*_{}[\]()#+\-.!|~>])/;
const SAFE = /^(?:https?:\/\/|mailto:)/i;

/** The elements. */
export function markdown(text) {
  return blocks(text.replaceAll("\r\n", "\n").split("\n"), 0);
}

function blocks(lines, depth) {
  const made = [];
  let at = 0;
  while (at < lines.length) {
    const [element, next] = depth < DEEPEST ? block(lines, at, depth) : paragraph(lines, at);
    made.push(...(element ? [element] : []));
    at = next;
  }
  return made;
}

/** [an element or null, the line after it]. */
function block(lines, at, depth) {
  const line = lines[at];
  if (!line.trim()) {
    return [null, at + 1];
  }
  const fence = FENCE.exec(line)?.[1];
  if (fence) {
    const end = after(lines, at + 1, (each) => !each.trim().startsWith(fence));
    return [make("pre", { className: "code wrap" }, lines.slice(at + 1, end).join("\n")), end + 1];
  }
  const heading = HEADING.exec(line);
  if (heading) {
    // The page has headings of its own.
    return [make(`h${Math.min(6, heading[1].length + 3)}`, {}, ...inline(heading[2])), at + 1];
  }
  if (RULE.test(line)) {
    return [make("hr"), at + 1];
  }
  if (QUOTE.test(line)) {
    const end = after(lines, at, (each) => QUOTE.test(each));
    return [make("blockquote", {}, ...blocks(lines.slice(at, end).map((each) => each.replace(QUOTE, "")), depth + 1)), end];
  }
  if (ITEM.test(line)) {
    return list(lines, at, depth);
  }
  return line.includes("|") && CELLS.test(lines[at + 1] ?? "") ? table(lines, at) : paragraph(lines, at);
}

function after(lines, from, goesOn) {
  let at = from;
  while (at < lines.length && goesOn(lines[at])) {
    at += 1;
  }
  return at;
}

function list(lines, at, depth) {
  const [, indent, mark] = ITEM.exec(lines[at]);
  const ordered = /\d/.test(mark);
  const items = [];
  let next = at;
  while (next < lines.length) {
    const item = ITEM.exec(lines[next]);
    if (!item || item[1].length !== indent.length || /\d/.test(item[2]) !== ordered) {
      break;
    }
    const end = after(lines, next + 1, (each) => each.trim() && /^\s*/.exec(each)[0].length > indent.length);
    const inside = lines.slice(next + 1, end);
    items.push(make("li", {}, ...inline(item[3]), ...blocks(inside.map((each) => each.slice(indent.length + 2)), depth + 1)));
    next = end;
    if (next + 1 < lines.length && !lines[next].trim() && ITEM.exec(lines[next + 1])?.[1].length === indent.length) {
      next += 1; // a blank line between items
    }
  }
  return [make(ordered ? "ol" : "ul", {}, ...items), next];
}

function table(lines, at) {
  const end = after(lines, at + 2, (each) => each.includes("|"));
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((each) => inline(each.trim()));
  const row = (name, line) => make("tr", {}, ...cells(line).map((each) => make(name, {}, ...each)));
  const body = make("tbody", {}, ...lines.slice(at + 2, end).map((line) => row("td", line)));
  return [make("div", { className: "scroll" }, make("table", { className: "table" }, make("thead", {}, row("th", lines[at])), body)), end];
}

function paragraph(lines, at) {
  const end = after(lines, at + 1, (each) => each.trim() && ![FENCE, HEADING, RULE, QUOTE, ITEM].some((begin) => begin.test(each)));
  const parts = lines.slice(at, end).flatMap((line, index) => [...(index ? [/ {2}$/.test(lines[at + index - 1]) ? make("br") : " "] : []), ...inline(line.trim())]);
  return [make("p", {}, ...parts), end];
}

function inline(text, depth = 0) {
  const made = [];
  let rest = text;
  while (rest) {
    const match = depth < DEEPEST ? INLINE.exec(rest) : null;
    if (!match) {
      return [...made, rest];
    }
    made.push(rest.slice(0, match.index), piece(match, depth + 1));
    rest = rest.slice(match.index + match[0].length);
  }
  return made;
}

function piece([whole, code, label, address, strong, strong2, emphasis, emphasis2, struck, escaped], depth) {
  if (code !== undefined) {
    return make("code", {}, code);
  }
  if (address !== undefined) {
    // A picture would have to come from elsewhere; it is named.
    return SAFE.test(address) ? make("a", { href: address, rel: "noopener noreferrer", target: "_blank" }, label || address) : whole;
  }
  const kinds = [["strong", strong ?? strong2], ["em", emphasis ?? emphasis2], ["s", struck]];
  const [name, inside] = kinds.find(([, each]) => each !== undefined) ?? [];
  return name ? make(name, {}, ...inline(inside, depth)) : escaped;
}
