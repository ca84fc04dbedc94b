// Questions before something is done that cannot be undone.
import { keepFocus } from "./common.js";

/** Ask in a dialog; `work` is done with the subject when the answer is yes, and its error shown there. */
export function question(id, work) {
  const dialog = document.getElementById(id);
  if (!dialog) {
    return () => {};
  }
  let subject = "";
  const confirm = dialog.querySelector("[data-confirm]");
  const problem = dialog.querySelector("[data-problem]");
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  // The button that asked may have been replaced meanwhile.
  dialog.addEventListener("close", keepFocus);
  confirm.addEventListener("click", async () => {
    confirm.disabled = true;
    try {
      await work(subject);
      dialog.close();
    } catch (error) {
      problem.textContent = error.message;
    } finally {
      confirm.disabled = false;
    }
  });
  return (about, name = about) => {
    subject = about;
    problem.textContent = "";
    dialog.querySelectorAll("[data-name]").forEach((each) => (each.textContent = name));
    dialog.showModal();
  };
}
