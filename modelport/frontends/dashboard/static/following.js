// What a deployment prints, as it comes.

const root = document.body.dataset.root;
// What a page can hold and still be scrolled; the beginning goes first.
const LIMIT_CHARS = 1_000_000;

/** Call `tell` with each piece of the log until `signal` is aborted or the deployment goes. */
export async function follow(name, tell, signal) {
  const response = await fetch(`${root}/deployments/${encodeURIComponent(name)}/log?follow=1`, { signal });
  if (!response.ok) {
    throw new Error(`The log cannot be read: ${response.status}`);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) {
      return;
    }
    tell(value);
  }
}

/** Put text at the end of an element, and keep its end in sight where it was in sight. */
export function append(element, text, stay) {
  const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
  if (element.textContent.length + text.length > LIMIT_CHARS) {
    element.textContent = (element.textContent + text).slice(-LIMIT_CHARS / 2);
  } else {
    element.append(text);
  }
  if (stay ?? atEnd) {
    element.scrollTop = element.scrollHeight;
  }
}
