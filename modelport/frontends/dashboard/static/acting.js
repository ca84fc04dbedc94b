// Run a job again, cancel it, delete it after a question: the same buttons in lists and on a job's page.
import { ask, say } from "./common.js";
import { question } from "./questions.js";

const { base } = document.body.dataset;

/** deleted, cancelled: called with the id of a job that is so now; again: with the document of a new one. */
export function actions({ deleted, cancelled, again }) {
  const askDelete = question("delete-job", async (id) => {
    await ask("DELETE", `/jobs/${id}`);
    deleted(id);
  });
  const work = {
    async cancel(id) {
      const { status } = await ask("POST", `/jobs/${id}/cancel`);
      if (status !== "cancelled") {
        say("It had already ended.");
      }
      cancelled(id);
    },
    async again(id) {
      again(await ask("POST", `/jobs/${id}/run-again`));
    },
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-delete-job], [data-cancel], [data-again]");
    if (!button) {
      return;
    }
    if (button.dataset.deleteJob) {
      askDelete(button.dataset.deleteJob, button.dataset.deleteJob.slice(-8));
      return;
    }
    button.disabled = true;
    try {
      await (button.dataset.cancel ? work.cancel(button.dataset.cancel) : work.again(button.dataset.again));
    } catch (error) {
      say(error.message);
    } finally {
      button.disabled = false;
    }
  });
}

export const pageOf = (id) => `${base}/jobs/${id}`;
