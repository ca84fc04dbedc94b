// What a process prints: carriage returns take back what stands in the line, as on a terminal.
import { append } from "./following.js";

/** Text that is complete goes to `element`; the line that may still be taken back stands at its end by itself. */
export class Printed {
  constructor(element, line = () => {}) {
    this.element = element;
    this.line = line; // told of each line that is complete
    this.clear();
  }

  clear() {
    this.element.textContent = "";
    this.open = "";
    this.last = document.createTextNode("");
    this.element.append(this.last);
  }

  add(text) {
    const lines = (this.open + text).replaceAll("\r\n", "\n").split("\n");
    // A carriage return at the very end takes nothing back until something follows it.
    this.open = lines.pop();
    for (const each of lines) {
      this.line(shown(each));
    }
    this.last.remove();
    append(this.element, lines.map((each) => `${shown(each)}\n`).join(""));
    this.last.data = shown(this.open);
    this.element.append(this.last);
  }
}

function shown(line) {
  const text = line.endsWith("\r") ? line.slice(0, -1) : line;
  return text.slice(text.lastIndexOf("\r") + 1);
}
