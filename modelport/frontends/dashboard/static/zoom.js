// A picture to look at closely: larger and smaller by buttons, by + − 0, or by the wheel with Ctrl; moved by scrolling or by hand.
import { make } from "./common.js";

const STEP = 1.5;
const WHEEL_STEP = 1.2;
const MOST = 16;

/** The view. stage: what holds the picture `img` and all that lies over it; title: for who does not see it. */
export function zoomable(stage, img, title) {
  let scale = 1;
  let fit = 0;
  const frame = make("div", { className: "zoom", tabIndex: 0, role: "group", ariaLabel: `${title}: + and − zoom, 0 shows it whole, the arrow keys move it` }, stage);

  /** at: the point of the frame that stays where it is. */
  function zoom(by, at = [frame.clientWidth / 2, frame.clientHeight / 2]) {
    const next = by === 0 ? 1 : Math.min(MOST, Math.max(1, scale * by));
    fit = scale === 1 ? img.clientWidth : fit;
    const share = [(frame.scrollLeft + at[0]) / frame.scrollWidth, (frame.scrollTop + at[1]) / frame.scrollHeight];
    scale = next;
    stage.classList.toggle("zoomed", scale > 1);
    img.style.width = scale > 1 ? `${fit * scale}px` : "";
    frame.scrollTo(share[0] * frame.scrollWidth - at[0], share[1] * frame.scrollHeight - at[1]);
    shown.textContent = `${Math.round(scale * 100)} %`;
    smaller.disabled = whole.disabled = scale === 1;
    larger.disabled = scale === MOST;
  }

  const button = (text, label, by) => {
    const made = make("button", { type: "button", className: "button small", ariaLabel: label || null }, text);
    made.addEventListener("click", () => zoom(by));
    return made;
  };
  const larger = button("+", "Zoom in", STEP);
  const smaller = button("−", "Zoom out", 1 / STEP);
  const whole = button("Fit", "", 0);
  const shown = make("output", { className: "soft small" }, "100 %");
  smaller.disabled = whole.disabled = true;
  frame.addEventListener("keydown", (event) => {
    const by = { "+": STEP, "=": STEP, "-": 1 / STEP, 0: 0 }[event.key];
    if (by !== undefined && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      zoom(by);
    }
  });
  frame.addEventListener(
    "wheel",
    (event) => {
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        const { left, top } = frame.getBoundingClientRect();
        zoom(event.deltaY < 0 ? WHEEL_STEP : 1 / WHEEL_STEP, [event.clientX - left, event.clientY - top]);
      }
    },
    { passive: false },
  );
  drag(frame);
  return make("div", {}, make("div", { className: "zoom-bar" }, smaller, larger, whole, shown), frame);
}

/** Fingers scroll by themselves. */
function drag(frame) {
  frame.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button === 0) {
      frame.setPointerCapture(event.pointerId);
    }
  });
  frame.addEventListener("pointermove", (event) => {
    if (frame.hasPointerCapture(event.pointerId)) {
      frame.scrollBy(-event.movementX, -event.movementY);
    }
  });
  frame.addEventListener("dragstart", (event) => event.preventDefault());
}
