// How the numbers of a column are spread: bars under its heading.
import { drawn } from "./svg.js";

const BINS = 16;
const HEIGHT = 20;
// Fewer numbers say more by themselves.
const LEAST = 8;

/** An SVG; null where there are too few numbers, or they are all the same. */
export function histogram(values) {
  const numbers = values.filter((value) => value !== null && value !== undefined).map((value) => Number(value)).filter(Number.isFinite);
  const [least, most] = numbers.reduce(([low, high], each) => [Math.min(low, each), Math.max(high, each)], [Infinity, -Infinity]);
  if (numbers.length < LEAST || !(most > least)) {
    return null;
  }
  const counts = new Array(BINS).fill(0);
  numbers.forEach((each) => (counts[Math.min(BINS - 1, Math.floor(((each - least) / (most - least)) * BINS))] += 1));
  const highest = Math.max(...counts);
  const svg = drawn("svg", { class: "histogram", viewBox: `0 0 ${BINS * 4} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  svg.setAttribute("aria-label", `Distribution of ${numbers.length} numbers from ${short(least)} to ${short(most)}`);
  counts.forEach((count, bin) => {
    // What is there is seen, however rare it is.
    const height = count ? Math.max(1, (count / highest) * HEIGHT) : 0;
    const [from, to] = [bin, bin + 1].map((edge) => short(least + ((most - least) * edge) / BINS));
    svg.append(drawn("rect", { x: bin * 4, y: HEIGHT - height, width: 3, height }, drawn("title", {}, `${from} to ${to}: ${count}`)));
  });
  return svg;
}

function short(number) {
  return String(Number(number.toPrecision(3)));
}
