// Times that go on while a page is looked at.

/** As the server writes durations: 0.0123 → 12.3 ms. */
export function durationText(seconds) {
  const short = (value) => String(Number(value.toPrecision(3)));
  if (seconds < 1) {
    return `${short(seconds * 1000)} ms`;
  }
  if (seconds < 120) {
    return `${short(seconds)} s`;
  }
  return seconds < 7200 ? `${short(seconds / 60)} min` : `${short(seconds / 3600)} h`;
}

function ageText(seconds) {
  if (seconds < 60) {
    return "just now";
  }
  for (const [limit, unit, name] of [[3600, 60, "minute"], [86400, 3600, "hour"], [30 * 86400, 86400, "day"]]) {
    if (seconds < limit) {
      const count = Math.floor(seconds / unit);
      return `${count} ${name}${count === 1 ? "" : "s"} ago`;
    }
  }
  return null;
}

function since(moment) {
  return Math.max(0, (Date.now() - Date.parse(moment)) / 1000);
}

/** Bring all times of the page up to date. */
export function tick() {
  for (const each of document.querySelectorAll("[data-since]")) {
    each.textContent = durationText(Math.floor(since(each.dataset.since)));
  }
  for (const each of document.querySelectorAll("[data-when]")) {
    each.textContent = ageText(since(each.dateTime)) ?? each.textContent;
  }
}

tick();
setInterval(tick, 1000);
