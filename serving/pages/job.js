// One job, watched: its state, losses, time left, samples of what it has learned on its way.
import { duration, make, sentence } from "./dom.js";
import { json, post } from "./http.js";
import { draw, smoothed } from "./chart.js";

const AGAIN = 1000; // milliseconds between looks
const ENDED = ["succeeded", "failed", "cancelled"];
const WORDS = { validating_files: "Reading the file", queued: "Waiting", running: "Learning", succeeded: "Done", failed: "Failed", cancelled: "Cancelled" };
const SAMPLE = { max_tokens: 100, temperature: 0.8, seed: 1 };

export const jobPath = (id) => `v1/fine_tuning/jobs/${encodeURIComponent(id)}`;
// What samples of a job begin with is kept with it, as metadata.
export const BEGINNING = "sample_beginning";

// A box that shows the job `id` until `stop()`; `ended(job)` is called when it has ended well.
export function watchJob(id, { isText, ended, compare }) {
  const title = make("h3");
  const status = make("p", { class: "status", role: "status", "aria-live": "polite" });
  const progress = make("progress", { max: 1, value: 0, "aria-label": "How far the job is" });
  const note = make("p", { class: "small" });
  const buttons = make("p", { class: "settings" });
  const chart = make("div", { class: "chart" });
  const samples = make("ol", { class: "samples", "aria-label": "Samples" });
  const log = make("ol", { class: "log" });
  const box = make("section", { class: "job", "aria-label": "Job" }, title, status, progress, note, buttons, chart, samples, make("details", {}, make("summary", {}, "What happened"), log));
  const seen = new Set();
  const steps = [];
  const sampled = new Map();
  let [last, stopped, timer, shown] = [1, false, null, ""];

  const press = (text, act) => {
    const button = make("button", { type: "button" }, text);
    button.addEventListener("click", () => act().then(look, (problem) => { status.textContent = sentence(problem.message); }));
    return button;
  };
  const order = (what) => () => post(`${jobPath(id)}/${what}`, {});

  // Events that are not known yet, page by page from the newest on.
  async function news() {
    const found = [];
    let after = "";
    for (;;) {
      const { data, has_more: more } = await json(`${jobPath(id)}/events?limit=100${after}`);
      const fresh = data.filter((event) => !seen.has(event.id));
      found.push(...fresh);
      if (!more || fresh.length < data.length) break;
      after = `&after=${encodeURIComponent(data.at(-1).id)}`;
    }
    return found.reverse();
  }

  function take(event) {
    seen.add(event.id);
    const { step, total_steps: total, train_loss: loss } = event.data ?? {};
    if (event.type === "metrics" && step !== undefined && loss !== undefined) {
      steps.push([step, loss]);
      last = total ?? Math.max(last, step);
      return;
    }
    log.append(make("li", { class: event.level }, event.message));
    note.textContent = event.message;
  }

  async function show(job) {
    title.textContent = job.fine_tuned_model ?? job.model;
    const step = steps.at(-1)?.[0] ?? 0;
    const left = job.estimated_finish ? job.estimated_finish - Date.now() / 1000 : null;
    const parts = [job.status === "running" && !step ? "Getting ready" : (WORDS[job.status] ?? job.status)];
    if (job.status === "running" && step) parts.push(`step ${step} of ${last}`, `loss ${steps.at(-1)[1].toPrecision(3)}`);
    if (job.status === "running" && left !== null) parts.push(`about ${duration(left)} left`);
    if (job.error?.message) parts.push(sentence(job.error.message));
    status.textContent = parts.join(", ");
    status.classList.toggle("error", job.status === "failed");
    note.hidden = ENDED.includes(job.status);
    progress.value = job.status === "succeeded" ? 1 : Math.min(1, step / last);
    if (job.status !== shown) {
      shown = job.status;
      const alive = [press("Cancel", order("cancel")), job.status === "queued" ? press("Go on", order("resume")) : press("Pause", order("pause"))];
      const done = make("button", { type: "button", class: "main" }, "Try it beside its base");
      done.addEventListener("click", () => compare(job.fine_tuned_model, job.model));
      buttons.replaceChildren(...(ENDED.includes(job.status) ? (job.status === "succeeded" ? [done] : []) : alive));
    }
    const { data } = await json(`${jobPath(id)}/checkpoints?limit=100`);
    const held = data.filter(({ metrics }) => Number.isFinite(metrics.valid_loss)).map(({ step_number: at, metrics }) => [at, metrics.valid_loss]).sort(([a], [b]) => a - b);
    draw(chart, [{ name: "loss of each batch", points: steps }, { name: "smoothed", points: smoothed(steps) }, { name: "loss on what is held out", points: held, dots: true }], last);
    if (isText) await sample(job, data);
  }

  async function sample(job, checkpoints) {
    const prompt = job.metadata?.[BEGINNING];
    const names = checkpoints.map(({ step_number: at, fine_tuned_model_checkpoint: model }) => [at, model]).sort(([a], [b]) => a - b);
    for (const [at, model] of names.slice(-3)) {
      if (!prompt || sampled.has(at)) continue;
      sampled.set(at, true);
      try {
        const { choices: [{ text }] } = await (await post("v1/completions", { model, prompt, ...SAMPLE })).json();
        samples.append(make("li", {}, make("strong", {}, `After step ${at}: `), make("span", { class: "given" }, prompt), text));
      } catch {
        // a checkpoint that is not there any more has nothing to say
      }
    }
  }

  async function look() {
    clearTimeout(timer);
    let job = null;
    try {
      job = await json(jobPath(id));
      (await news()).forEach(take);
      if (stopped) return;
      await show(job);
    } catch (problem) {
      status.textContent = problem.status ? sentence(problem.message) : "The server cannot be reached. This page goes on when it is there.";
      if (problem.status === 404) return;
    }
    if (stopped) return;
    if (job && ENDED.includes(job.status)) {
      if (job.status === "succeeded") ended(job);
      return;
    }
    timer = setTimeout(look, AGAIN);
  }

  look();
  return { box, stop() { stopped = true; clearTimeout(timer); } };
}
