// A picture from the camera, or a sound from the microphone, for an argument that takes one.
import { make, say } from "./common.js";

const LONGEST_MS = 5 * 60_000;
// From when on there is something to be used.
const SLICE_MS = 250;

/** Ask for a picture; `use` gets it as a PNG. */
export async function photograph(use) {
  const stream = await opened({ video: true });
  if (!stream) {
    return;
  }
  const view = make("video", { className: "drawing", srcObject: stream, autoplay: true, muted: true, playsInline: true, ariaLabel: "The camera" });
  const take = make("button", { type: "button", className: "button primary", disabled: true }, "Take it");
  view.addEventListener("playing", () => (take.disabled = false));
  const dialog = ask("Take a picture", stream, view, take);
  take.addEventListener("click", () => {
    const sheet = make("canvas", { width: view.videoWidth, height: view.videoHeight });
    sheet.getContext("2d").drawImage(view, 0, 0);
    sheet.toBlob((blob) => use(new File([blob], "camera.png", { type: "image/png" })));
    dialog.close();
  });
}

/** Ask for a recording; `use` gets it as WAV, which more models read than what browsers record. */
export async function record(use) {
  const stream = await opened({ audio: true });
  if (!stream) {
    return;
  }
  const recorder = new MediaRecorder(stream);
  const parts = [];
  const line = make("p", { role: "status" }, "Recording …");
  const stop = make("button", { type: "button", className: "button primary", disabled: true }, "Use it");
  const dialog = ask("Record a sound", stream, line, stop);
  const limit = setTimeout(() => stop.click(), LONGEST_MS);
  let wanted = false;
  recorder.addEventListener("dataavailable", ({ data }) => {
    parts.push(data);
    stop.disabled = false;
  });
  recorder.addEventListener("stop", async () => {
    clearTimeout(limit);
    if (wanted) {
      const sound = await decoded(new Blob(parts)).catch(() => null);
      dialog.close();
      sound ? use(new File([wav(sound)], "recording.wav", { type: "audio/wav" })) : say("Nothing could be recorded.");
    }
  });
  stop.addEventListener("click", () => {
    wanted = true;
    recorder.stop();
  });
  dialog.addEventListener("close", () => recorder.state !== "inactive" && recorder.stop());
  recorder.start(SLICE_MS);
}

async function opened(wish) {
  try {
    return await navigator.mediaDevices.getUserMedia(wish);
  } catch (error) {
    // Over plain http from another machine, browsers have no devices at all.
    say(error.name === "NotAllowedError" ? "The browser did not allow it." : "No camera or microphone can be used here. Browsers allow it only over https and on this machine.");
    return null;
  }
}

/** A dialog; the devices are given back when it closes. */
function ask(title, stream, ...children) {
  const cancel = make("button", { type: "button", className: "button" }, "Cancel");
  const last = children.pop();
  const dialog = make("dialog", { ariaLabel: title }, make("h2", {}, title), ...children, make("div", { className: "actions" }, cancel, last));
  cancel.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    stream.getTracks().forEach((track) => track.stop());
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

async function decoded(blob) {
  const context = new AudioContext();
  try {
    return await context.decodeAudioData(await blob.arrayBuffer());
  } finally {
    context.close();
  }
}

/** The first channel, 16 bits: RIFF, "fmt " and "data", all little-endian. */
function wav(sound) {
  const samples = sound.getChannelData(0);
  const bytes = new DataView(new ArrayBuffer(44 + samples.length * 2));
  const text = (at, letters) => [...letters].forEach((letter, index) => bytes.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF");
  bytes.setUint32(4, 36 + samples.length * 2, true);
  text(8, "WAVEfmt ");
  bytes.setUint32(16, 16, true);
  bytes.setUint16(20, 1, true); // PCM
  bytes.setUint16(22, 1, true); // channels
  bytes.setUint32(24, sound.sampleRate, true);
  bytes.setUint32(28, sound.sampleRate * 2, true);
  bytes.setUint16(32, 2, true);
  bytes.setUint16(34, 16, true);
  text(36, "data");
  bytes.setUint32(40, samples.length * 2, true);
  samples.forEach((sample, index) => bytes.setInt16(44 + index * 2, Math.max(-1, Math.min(1, sample)) * 0x7fff, true));
  return bytes.buffer;
}
