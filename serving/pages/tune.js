// Teaching a model a text or photographs: what it is to learn, the job, and the jobs that there are.
import { make, sentence } from "./dom.js";
import { address, ask, json, post } from "./http.js";
import { codeIn, quoted } from "./code.js";
import { BEGINNING, watchJob } from "./job.js";
import { beginning, photoRows } from "./rows.js";

const JOBS = "v1/fine_tuning/jobs";

export function tunePanel(panel, { refresh, choose }) {
  const base = make("select", { id: "base" });
  const file = make("input", { id: "material", type: "file", accept: ".txt,.jsonl,.zip" });
  const classes = make("div", { class: "classes" });
  const more = make("button", { type: "button" }, "Add a class");
  const photos = make("fieldset", { hidden: true }, make("legend", {}, "Photographs, ten or more for each class"), classes, more,
    make("p", {}, make("label", {}, make("input", { name: "sided", type: "checkbox" }), " Left and right differ, as in writing and signs")));
  const number = (name, label, hint, settings) => make("label", {}, `${label} `, make("input", { name, type: "number", placeholder: hint, step: "any", ...settings }));
  const go = make("button", { type: "submit", class: "main" }, "Start");
  const status = make("p", { class: "status small", role: "status", "aria-live": "polite" });
  const material = make("p", {}, make("label", { for: "material" }, "A text (.txt), or rows (.jsonl)"), file);
  const form = make("form", { class: "card" }, make("h2", {}, "What it is to learn"),
    make("p", {}, make("label", { for: "base" }, "Model "), base), material, photos,
    make("p", { class: "settings" }, make("label", {}, "Name ", make("input", { name: "suffix", type: "text", size: 10, maxlength: 64, pattern: "[A-Za-z0-9_.\\-]*", placeholder: "mine" })),
      number("n_epochs", "Epochs", "auto", { min: 1, max: 50, step: 1 }), number("learning_rate_multiplier", "Rate ×", "auto", { min: 0 }), number("seed", "Seed", "any", { min: 0, max: 2147483647, step: 1 }), go),
    make("p", { class: "small" }, "Left empty, settings are chosen by short trials. What you upload is kept on this server until you delete it there."), status);
  const list = make("select", { id: "jobs" });
  const watched = make("div");
  const jobsBox = make("div", { class: "card" }, make("h2", {}, "Jobs"), make("p", {}, make("label", { for: "jobs" }, "Job "), list), watched);
  const codeBox = make("div");
  panel.replaceChildren(make("div", { class: "two" }, form, jobsBox), codeBox);
  const code = codeIn(codeBox);
  let models = [];
  let watch = null;

  const usage = () => models.find(({ name }) => name === base.value)?.usage;
  const say = (text, error = false) => {
    status.textContent = text;
    status.classList.toggle("error", error);
  };

  function addClass() {
    const k = classes.childElementCount + 1;
    const label = make("input", { type: "text", "aria-label": `Name of class ${k}`, placeholder: `class ${k}`, size: 12 });
    const images = make("input", { type: "file", multiple: true, accept: "image/*", "aria-label": `Photographs of class ${k}` });
    classes.append(make("p", { class: "settings" }, label, images));
  }

  function fit() {
    const isImage = usage() === "image";
    photos.hidden = !isImage;
    material.firstChild.textContent = isImage ? "A folder for each class (.zip), or rows (.jsonl), or photographs below" : "A text (.txt), or rows (.jsonl)";
    file.accept = isImage ? ".zip,.jsonl" : ".txt,.jsonl";
    showCode();
  }

  function asked(id) {
    const value = (name) => form.elements[name].value;
    const tuned = ["n_epochs", "learning_rate_multiplier"].filter((name) => value(name) !== "");
    const hyperparameters = Object.fromEntries(tuned.map((name) => [name, Number(value(name))]));
    const supervised = { ...(tuned.length ? { hyperparameters } : {}), ...(usage() === "image" && form.elements.sided.checked ? { images: { flip: 0 } } : {}) };
    return {
      model: base.value, training_file: id, ...(value("suffix") ? { suffix: value("suffix") } : {}), ...(value("seed") ? { seed: Number(value("seed")) } : {}),
      ...(Object.keys(supervised).length ? { method: { type: "supervised", supervised } } : {}),
    };
  }

  function showCode() {
    const name = file.files[0]?.name ?? (usage() === "image" ? "photos.zip" : "book.txt");
    const body = asked("FILE");
    const { model, training_file: _, ...rest } = body;
    const extra = Object.entries(rest).map(([key, one]) => `, ${key}=${JSON.stringify(one)}`).join("");
    code({
      curl: `curl ${address("v1/files")} -F purpose=fine-tune -F file=@${name}        # its id is FILE\ncurl ${address(JOBS)} -d ${quoted(body)}`,
      python: `import openai\nclient = openai.OpenAI(base_url="${address("v1")}", api_key="none")\nfile = client.files.create(file=open("${name}", "rb"), purpose="fine-tune")\njob = client.fine_tuning.jobs.create(model="${model}", training_file=file.id${extra})\nprint(client.fine_tuning.jobs.retrieve(job.id).status)`,
    });
  }

  // The file that is to be uploaded. Throws an Error in words.
  async function chosenFile() {
    if (file.files.length > 0) return file.files[0];
    if (usage() !== "image") throw new Error("choose a file first");
    const given = [...classes.children].map((row) => ({ label: row.children[0].value.trim(), files: [...row.children[1].files] })).filter(({ files }) => files.length);
    if (given.length < 2 || given.some(({ label }) => !label)) throw new Error("give two classes or more, each with a name and photographs, or a file");
    return photoRows(given, (done, all) => say(`Reading photographs: ${done} of ${all}…`));
  }

  async function start() {
    go.disabled = true;
    try {
      const content = await chosenFile();
      say("Uploading…");
      const body = new FormData();
      body.append("purpose", "fine-tune");
      body.append("file", content, content.name);
      const { id } = await (await ask("v1/files", { method: "POST", body })).json();
      const words = usage() === "text" ? await beginning(content) : "";
      const job = await (await post(JOBS, { ...asked(id), ...(words ? { metadata: { [BEGINNING]: words } } : {}) })).json();
      say("The job has begun.");
      await jobs(job.id);
    } catch (problem) {
      say(sentence(problem.message), true);
    }
    go.disabled = false;
  }

  async function jobs(chosen) {
    const { data } = await json(`${JOBS}?limit=20`);
    list.replaceChildren(...data.map((job) => new Option(`${job.user_provided_suffix ?? job.model}, ${new Date(1000 * job.created_at).toLocaleString()}`, job.id)));
    list.disabled = data.length === 0;
    if (data.length === 0) {
      list.append(new Option("none yet"));
      return;
    }
    list.value = chosen ?? data[0].id;
    follow(data.find(({ id }) => id === list.value) ?? data[0]);
  }

  function follow({ id, model }) {
    watch?.stop();
    const isText = models.find(({ name }) => name === model)?.usage === "text";
    watch = watchJob(id, {
      isText, ended: refresh,
      compare: async (made, from) => { models = await refresh(); choose(made, from); },
    });
    watched.replaceChildren(watch.box);
  }

  base.addEventListener("change", fit);
  form.addEventListener("input", showCode);
  form.addEventListener("submit", (event) => { event.preventDefault(); start(); });
  more.addEventListener("click", () => { addClass(); classes.lastChild.firstChild.focus(); });
  list.addEventListener("change", async () => follow(await json(`${JOBS}/${encodeURIComponent(list.value)}`)));
  addClass();
  addClass();
  return {
    show(given, chosen) {
      models = given;
      const names = models.filter(({ usage: kind, parent, state }) => ["text", "image"].includes(kind) && !parent && state === "READY").map(({ name }) => name);
      base.replaceChildren(...names.map((name) => new Option(name, name, false, name === (chosen?.parent ?? chosen?.name))));
      fit();
      jobs().catch((problem) => say(sentence(problem.message), true));
    },
  };
}
