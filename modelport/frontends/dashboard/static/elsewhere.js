// A file that lies elsewhere on the web. The browser fetches it, with none of its cookies: a server that fetched addresses for
// others could be made to fetch what only it can reach.
import { make } from "./common.js";

const FORBIDDEN =
  "The browser cannot fetch this. Either the address is wrong, or that site does not let other pages read its files (CORS). Download the file, and choose it here.";

/** Ask for an address; `use` gets the file. accept: as of the input, such as image/*. */
export function download(use, accept) {
  const input = make("input", { type: "url", id: "file-address", required: true, placeholder: "https://", autocomplete: "off" });
  const problem = make("p", { className: "error", role: "alert" });
  const cancel = make("button", { type: "button", className: "button" }, "Cancel");
  const fetching = make("button", { className: "button primary" }, "Fetch");
  const field = make("div", { className: "field" }, make("label", { htmlFor: input.id }, "Address of the file"), input, problem);
  const form = make("form", { noValidate: true }, make("h2", {}, "From a URL"), field, make("div", { className: "actions" }, cancel, fetching));
  const dialog = make("dialog", { ariaLabel: "From a URL" }, form);
  const stopped = new AbortController();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    fetching.disabled = true;
    problem.textContent = "";
    try {
      use(await fileAt(input.value.trim(), accept, stopped.signal));
      dialog.close();
    } catch (error) {
      problem.textContent = error.message;
      fetching.disabled = false;
      input.focus();
    }
  });
  cancel.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    stopped.abort();
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
}

/** Throws Error with what is wrong. */
async function fileAt(address, accept, signal) {
  const url = URL.canParse(address) ? new URL(address) : null;
  if (!url || !["http:", "https:"].includes(url.protocol)) {
    throw new Error("Enter an address that begins with https:// or http://.");
  }
  if (location.protocol === "https:" && url.protocol === "http:") {
    throw new Error("This page came over https, so the browser fetches files over https only. Enter an address that begins with https://.");
  }
  const response = await fetch(url, { credentials: "omit", referrerPolicy: "no-referrer", signal }).catch(() => {
    throw new Error(FORBIDDEN);
  });
  if (!response.ok) {
    throw new Error(`That site answered ${response.status}. Check the address.`);
  }
  const blob = await response.blob();
  const type = blob.type.split(";")[0];
  if (accept && type && !type.startsWith(accept.replace("*", ""))) {
    throw new Error(`This is ${type}, and ${accept} is needed here. Enter the address of the file itself.`);
  }
  return new File([blob], url.pathname.split("/").pop() || "file", { type });
}
