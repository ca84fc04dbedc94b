// Labels with probabilities, as bars.
import { make } from "./common.js";

const SHOWN = 20;
const LABELS = ["label", "name", "class", "class_name", "category", "prediction"];
const SCORES = ["probability", "confidence", "score", "prob"];

/** [[label, share]] where the answer holds such things; else null. deep: also in a part of it. */
export function barsOf(value, deep = true) {
  if (Array.isArray(value)) {
    return fromObjects(value);
  }
  if (value === null || typeof value !== "object") {
    return null;
  }
  const { labels, classes, probabilities, scores, probs } = value;
  const names = labels ?? classes;
  const shares = probabilities ?? scores ?? probs;
  if (Array.isArray(names) && Array.isArray(shares) && names.length === shares.length && shares.length && shares.every(isShare)) {
    return names.map((each, index) => [String(each), shares[index]]);
  }
  for (const each of deep ? ["predictions", "results", "classification", "probabilities"] : []) {
    const inside = value[each] && typeof value[each] === "object" ? barsOf(value[each]) : null;
    if (inside) {
      return inside;
    }
  }
  const entries = Object.entries(value);
  return entries.length > 1 && entries.every(([, each]) => isShare(each)) ? entries : null;
}

function fromObjects(list) {
  const label = list.length && list[0] && typeof list[0] === "object" ? LABELS.find((each) => each in list[0]) : undefined;
  const score = label && SCORES.find((each) => each in list[0]);
  if (!score || !list.every((each) => each && isShare(each[score]))) {
    return null;
  }
  return list.map((each) => [String(each[label]), each[score]]);
}

function isShare(value) {
  return typeof value === "number" && value >= 0 && value <= 1;
}

export function bars(shares) {
  const sorted = [...shares].sort((one, other) => other[1] - one[1]).slice(0, SHOWN);
  const rows = sorted.flatMap(([label, share]) => {
    const fill = make("span");
    fill.style.width = `${share * 100}%`;
    return [make("dt", {}, label), make("dd", { className: "bar", ariaHidden: "true" }, fill), make("dd", {}, `${(share * 100).toFixed(1)} %`)];
  });
  const head = make("div", { className: "view-head" }, make("h3", {}, "Probabilities"));
  return make("div", { className: "view" }, head, make("dl", { className: "bars" }, ...rows));
}
