// What a process prints, as a terminal shows it: a carriage return takes back what stands in the line, and progress bars in one
// another go up to their lines.

const TOKENS = /(\r\n|[\r\n]|\x1b\[[0-9;?]*[ -/]*[@-~])/;
// An escape sequence that goes on in the next piece.
const CUT = /\x1b(\[[0-9;?]*)?$/;
// Bars lie no deeper in one another.
const WITHIN_REACH = 9;
// What a page can hold and still be scrolled; the first lines go first.
const MOST_LINES = 20_000;

/** Writes to lines that it begins: `begin(about)` returns an element or a text, at the end of the place. */
export class Terminal {
  constructor(begin) {
    this.begin = begin;
    this.lines = [null]; // those that can still be changed; null: nothing has been written there
    this.at = 0;
    this.returned = false;
    this.rest = "";
  }

  /** about: handed to `begin` for lines that begin with this text. */
  write(text, about) {
    const all = this.rest + text;
    this.rest = CUT.exec(all)?.[0] ?? "";
    for (const part of all.slice(0, all.length - this.rest.length).split(TOKENS)) {
      if (part === "\r") {
        this.returned = true;
      } else if (part === "\n" || part === "\r\n") {
        this.down(about);
      } else if (part.startsWith("\x1b")) {
        // Of all others, colours among them, nothing is shown.
        this.at = part.endsWith("A") ? Math.max(0, this.at - (parseInt(part.slice(2), 10) || 1)) : this.at;
      } else if (part) {
        this.put(part, about);
      }
    }
  }

  line(about) {
    return (this.lines[this.at] ??= { node: this.begin(about), text: "", ended: false });
  }

  put(text, about) {
    const line = this.line(about);
    line.text = this.returned ? (text.trim() ? text : "") : line.text + text;
    this.returned = false;
    this.show(line);
  }

  down(about) {
    const line = this.line(about);
    line.ended = true;
    this.show(line);
    this.returned = false;
    this.at += 1;
    if (this.at === this.lines.length) {
      this.lines.push(null);
    }
    if (this.lines.length > WITHIN_REACH) {
      this.lines.shift();
      this.at -= 1;
    }
  }

  show({ node, text, ended }) {
    node.textContent = ended ? `${text}\n` : text;
  }
}

/** Change a place, and keep its end in sight where it was in sight. stay: whether it was, where that is known. */
export function atEnd(element, change, stay = element.scrollHeight - element.scrollTop - element.clientHeight < 40) {
  change();
  while (element.childNodes.length > MOST_LINES) {
    element.firstChild.remove();
  }
  if (stay) {
    element.scrollTop = element.scrollHeight;
  }
}

/** The output of one process, in `element`. */
export class Printed {
  constructor(element) {
    this.element = element;
    this.clear();
  }

  clear() {
    this.element.textContent = "";
    this.terminal = new Terminal(() => {
      const node = document.createTextNode("");
      this.element.append(node);
      return node;
    });
  }

  add(text) {
    atEnd(this.element, () => this.terminal.write(text));
  }
}
