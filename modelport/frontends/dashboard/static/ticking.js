// Tick two runs and compare them. Lists are replaced while one ticks, so what is ticked is kept here.

const ticked = [];

function draw() {
  for (const box of document.querySelectorAll("[data-compare]")) {
    box.checked = ticked.includes(box.dataset.compare);
  }
  const link = document.getElementById("compare");
  if (link) {
    link.hidden = ticked.length < 2;
    const [one, other] = ticked;
    link.href = `${document.body.dataset.base}/compare?one=${one}&other=${other}`;
  }
}

document.addEventListener("change", ({ target }) => {
  const { compare } = target.dataset;
  if (compare) {
    ticked.splice(0, ticked.length, ...ticked.filter((id) => id !== compare), ...(target.checked ? [compare] : []));
    // The last two count.
    ticked.splice(0, Math.max(0, ticked.length - 2));
    draw();
  }
});
document.addEventListener("htmx:afterSettle", draw);
// A page that comes back by Back has its ticks, but not what is kept here.
addEventListener("pageshow", draw);
