// While a run lasts: its time, how far it is, and the button that cancels it in place of the one that runs.

const TICK_MS = 500;

export function timeText(seconds) {
  return seconds < 1 ? `${Math.max(1, Math.round(seconds * 1000))} ms` : `${seconds.toFixed(1)} s`;
}

export class Waiting {
  constructor(page) {
    this.page = page;
    this.text = document.getElementById("waiting-text");
    this.bar = document.getElementById("progress");
    this.message = document.getElementById("progress-text");
  }

  /** began: in milliseconds, as Date.now() has them. */
  start(began) {
    document.getElementById("timing").textContent = "";
    this.word = "Running";
    this.told("running", null);
    this.show(true);
    const tick = () => (this.text.textContent = `${this.word}: ${Math.max(0, Math.floor((Date.now() - began) / 1000))} s`);
    tick();
    this.ticking = setInterval(tick, TICK_MS);
  }

  stop() {
    clearInterval(this.ticking);
    this.show(false);
  }

  told(status, progress) {
    this.word = status === "queued" ? "Waiting for its turn" : "Running";
    this.bar.hidden = typeof progress?.fraction !== "number";
    if (!this.bar.hidden) {
      this.bar.value = progress.fraction;
    }
    this.message.textContent = progress?.message ?? "";
  }

  show(yes) {
    const run = document.getElementById("run");
    const cancel = document.getElementById("cancel");
    // Whoever came by keys stays where they were: of the two buttons one is there at a time.
    const [from, to] = yes ? [run, cancel] : [cancel, run];
    const held = document.activeElement === from;
    run.disabled = yes;
    cancel.hidden = !yes;
    if (held) {
      to.focus();
    }
    document.getElementById("waiting").hidden = !yes;
    this.page.setAttribute("aria-busy", String(yes));
  }
}
