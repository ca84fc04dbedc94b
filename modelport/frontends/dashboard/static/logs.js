// The log of a deployment, live: each line with its time, and with the job whose call printed it.
import { make } from "./common.js";
import { Terminal, atEnd } from "./printed.js";

const { root, base } = document.body.dataset;
const log = document.getElementById("log");
const state = document.getElementById("log-state");
const following = document.getElementById("follow");
const AGAIN_MS = 2000;

/** Each process writes to lines of its own, so that the progress bars of several do not meet. */
class Screen {
  constructor() {
    log.textContent = "";
    this.terminals = new Map();
  }

  add({ process, text, ...about }) {
    const terminal = this.terminals.get(process) ?? new Terminal(begin);
    this.terminals.set(process, terminal);
    terminal.write(text, about);
  }
}

function begin({ time, job }) {
  const text = document.createElement("span");
  const moment = new Date(time);
  const stamp = make("time", { dateTime: time, title: moment.toLocaleString() }, moment.toLocaleTimeString("en-GB"));
  const link = job ? [make("a", { href: `${base}/jobs/${job}`, className: "log-job", title: `Printed by the job ${job}` }, job.slice(-8)), " "] : [];
  log.append(make("span", { className: "log-line" }, stamp, " ", ...link, text));
  return text;
}

/** Until the deployment goes. */
async function follow(tell) {
  const response = await fetch(`${root}/deployments/${encodeURIComponent(log.dataset.log)}/log?follow=1&records=1`);
  if (!response.ok) {
    throw new Error(`The log cannot be read: ${response.status}`);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) {
      return;
    }
    const records = (rest + value).split("\n");
    rest = records.pop();
    tell(records.map((record) => JSON.parse(record)));
  }
}

async function run() {
  for (;;) {
    try {
      const screen = new Screen();
      state.textContent = "Live. Nothing has been printed yet.";
      await follow((records) => {
        state.textContent = "Live.";
        atEnd(log, () => records.forEach((record) => screen.add(record)), following.checked);
      });
      state.textContent = "The service has been undeployed.";
      return;
    } catch {
      state.textContent = "The connection was lost; trying again …";
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

following.addEventListener("change", () => {
  if (following.checked) {
    log.scrollTop = log.scrollHeight;
  }
});
document.getElementById("times").addEventListener("change", ({ target }) => log.classList.toggle("untimed", !target.checked));
run();
