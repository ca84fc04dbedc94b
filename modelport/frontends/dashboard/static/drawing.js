// A sheet of white paper and a black pen: a picture for an argument that takes one.
import { make } from "./common.js";

const SIDE_PX = 560;
// As thick, against the paper, as a felt pen.
const PEN_PX = 26;

/** Ask for a drawing; `use` gets it as a PNG. */
export function draw(use) {
  const sheet = make("canvas", { width: SIDE_PX, height: SIDE_PX, className: "drawing" });
  sheet.setAttribute("role", "img");
  sheet.setAttribute("aria-label", "The drawing");
  const pen = sheet.getContext("2d");
  const blank = () => {
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, SIDE_PX, SIDE_PX);
  };
  blank();
  Object.assign(pen, { lineWidth: PEN_PX, lineCap: "round", lineJoin: "round", strokeStyle: "#000" });
  follow(sheet, pen);

  const clear = make("button", { type: "button", className: "button quiet" }, "Clear");
  const cancel = make("button", { type: "button", className: "button" }, "Cancel");
  const done = make("button", { type: "button", className: "button primary" }, "Use it");
  const dialog = make("dialog", {}, make("h2", {}, "Draw"), sheet, make("div", { className: "actions" }, clear, cancel, done));
  dialog.setAttribute("aria-label", "Draw a picture");
  clear.addEventListener("click", blank);
  cancel.addEventListener("click", () => dialog.close());
  done.addEventListener("click", () => {
    sheet.toBlob((blob) => use(new File([blob], "drawing.png", { type: "image/png" })));
    dialog.close();
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function follow(sheet, pen) {
  let down = false;
  const at = (event) => {
    const { left, top, width, height } = sheet.getBoundingClientRect();
    return [((event.clientX - left) / width) * SIDE_PX, ((event.clientY - top) / height) * SIDE_PX];
  };
  const line = (event) => {
    pen.lineTo(...at(event));
    pen.stroke();
  };
  sheet.addEventListener("pointerdown", (event) => {
    sheet.setPointerCapture(event.pointerId);
    down = true;
    pen.beginPath();
    pen.moveTo(...at(event));
    line(event); // a dot, where the pen does not move
  });
  sheet.addEventListener("pointermove", (event) => down && line(event));
  for (const name of ["pointerup", "pointercancel"]) {
    sheet.addEventListener(name, () => (down = false));
  }
}
