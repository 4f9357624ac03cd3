// The page: which model is chosen, and the panel for what it is made for.
import { at, make, sentence } from "./dom.js";
import { imagePanel } from "./image.js";
import { json, useKey } from "./http.js";
import { allModels, whyNot } from "./models.js";
import { noisePanel } from "./noise.js";
import { tensorPanel } from "./tensors.js";
import { textPanel } from "./text.js";
import { tunePanel } from "./tune.js";

const AGAIN = 1000; // milliseconds until a model that is not there is looked for again
const KINDS = { image: "Images", text: "Text", noise: "Pictures from noise", tensors: "Tensors", "": "Not loaded" };
const TITLES = { image: "What is in the picture?", text: "How does it go on?", noise: "Pictures out of noise", tensors: "Numbers in, numbers out", tune: "Teach a model yours" };
const NAMES = { image: "It says which of its classes an image shows.", text: "It writes on, token by token. What it writes is made up.", noise: "It makes a picture of every seed; walk between two.", tensors: "", tune: "A text or photographs of yours make an adapter for a model." };

const panels = { image: imagePanel(at("image"), lost), text: textPanel(at("text")), noise: noisePanel(at("noise")), tensors: tensorPanel(at("tensors")) };
let tune = null; // the panel for fine-tuning, where the server offers it
let models = [];
let chosen = null; // the name of a model
let beside = ""; // the model that is to stand beside the chosen one as soon as that can be used
let teaching = false;
let turn = 0; // only the last look at the server counts

const find = (name) => models.find((model) => model.name === name);

// Look at the server until the chosen model is there, and say why it is not.
async function look() {
  const mine = ++turn;
  try {
    const found = await allModels();
    if (mine !== turn) return;
    models = found;
    chosen = (find(chosen) ?? find(decodeURIComponent(location.hash.slice(1))) ?? models.find(({ state }) => state === "READY") ?? models[0])?.name ?? null;
    offer();
    show();
    if (models.length && models.every(({ state }) => state !== "LOADING") && find(chosen).state === "READY") return;
  } catch (problem) {
    if (mine !== turn) return;
    say(problem.status ? sentence(problem.message) : "The server cannot be reached. This page goes on when it is there.", true);
    if (problem.status === 401) return;
  }
  setTimeout(() => { if (mine === turn) look(); }, AGAIN);
}

// A panel found that its model has gone.
function lost() {
  look();
}

function say(text, error = false) {
  at("state").textContent = text;
  at("state").hidden = text === "";
  at("state").classList.toggle("error", error);
}

function offer() {
  const groups = Object.entries(KINDS).map(([kind, title]) => {
    const options = models.filter(({ usage }) => usage === kind).map(({ name }) => new Option(name, name, false, name === chosen));
    return options.length ? make("optgroup", { label: title }, ...options) : null;
  });
  at("pick").replaceChildren(...groups.filter(Boolean));
}

function show() {
  const model = find(chosen);
  const kind = teaching ? "tune" : (model?.usage ?? "");
  for (const name of [...Object.keys(panels), "tune"]) at(name).hidden = name !== kind;
  at("title").textContent = TITLES[kind] ?? "A place to play";
  at("about").textContent = NAMES[kind] ?? "Models that this server has, to try with your own images and words.";
  at("learn").setAttribute("aria-pressed", teaching);
  document.body.dataset.kind = kind;
  if (teaching) {
    say("");
    tune.show(models, model);
    return;
  }
  if (!model) {
    say("This server has no models yet. This page goes on when there is one.");
    return;
  }
  if (model.state !== "READY") {
    say(`${model.name} ${whyNot(model)}. This page goes on when it is there.`);
    panels[kind]?.wait(model);
    return;
  }
  say("");
  panels[kind]?.show(model, models.filter((other) => other.usage === kind && other.name !== model.name && other.state === "READY"));
  if (beside) panels[kind]?.besides(beside);
  beside = "";
}

function choose(name, other = "") {
  chosen = name;
  beside = other;
  teaching = false;
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  offer();
  show();
  if (find(name)?.state !== "READY") look();
}

at("pick").addEventListener("change", () => choose(at("pick").value));
at("learn").addEventListener("click", () => { teaching = !teaching; show(); });
at("key").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(at("key-text").value.trim());
  at("key").hidden = true;
  look();
});
addEventListener("key-needed", () => {
  if (!at("key").hidden) return;
  at("key").hidden = false;
  at("key-text").focus();
});

// Fine-tuning, where the server's description of itself has it.
json("openapi.json").then(({ paths }) => {
  if (!paths["/v1/fine_tuning/jobs"]) return;
  tune = tunePanel(at("tune"), { refresh: async () => { models = await allModels(); offer(); return models; }, choose });
  at("learn").hidden = false;
}).catch(() => {});
look();
