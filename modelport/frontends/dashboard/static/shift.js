// Calls of a service that a version answers: shift them, and take them back.
import { ask } from "./common.js";

const form = document.getElementById("shift-form");
const at = (id) => document.getElementById(`shift-${id}`);

async function change(method, body) {
  try {
    await ask(method, `/deployments/${encodeURIComponent(form.dataset.name)}/shift`, body);
    location.reload();
  } catch (error) {
    at("problem").textContent = error.message;
    at("problem").hidden = false;
  }
}

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  change("POST", { to: at("to").value, share: Number(at("share").value) });
});
at("back")?.addEventListener("click", () => change("DELETE"));
