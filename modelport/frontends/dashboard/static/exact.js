// JSON whose numbers keep their digits: a JavaScript number is 9007199254740992 for …993, and 1 for 1.0.

const MARK = `figure-${Math.random().toString(36).slice(2)}:`;
const MARKED = new RegExp(`"${MARK}([^"]*)"`, "g");
// Texts are matched too, so that digits inside them stay as they are. No alternative inside a loop: texts may be long.
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const ENVELOPE = /^\s*\{\s*(?:"status"\s*:\s*"OK"\s*,\s*"predictions"|"result")\s*:([^]*)\}\s*$/;

/** A number as it was written. */
class Figure {
  constructor(text) {
    this.text = text;
  }

  toString() {
    return this.text;
  }

  toJSON() {
    return MARK + this.text;
  }
}

/** What a text says as a number, with its digits; NaN where it says none. */
export function figure(text) {
  const number = Number(text);
  return NUMBER.test(text) && String(number) !== text ? new Figure(text) : number;
}

export function isFigure(value) {
  return typeof value === "number" || value instanceof Figure;
}

/** Throws SyntaxError as JSON.parse does. */
export function parse(text) {
  JSON.parse(text);
  const marked = text.replace(TOKENS, (token) => (token[0] === '"' || String(Number(token)) === token ? token : `"${MARK}${token}"`));
  return JSON.parse(marked, (key, value) => (typeof value === "string" && value.startsWith(MARK) ? new Figure(value.slice(MARK.length)) : value));
}

export function stringify(value, indent) {
  return JSON.stringify(value, null, indent)?.replace(MARKED, "$1");
}

/** The text of the answer inside a predict endpoint's envelope; the whole text where there is none. */
export function inside(text) {
  const inner = ENVELOPE.exec(text)?.[1].trim();
  try {
    JSON.parse(inner);
    return inner;
  } catch {
    return text; // no envelope, or one with something beside the answer
  }
}
