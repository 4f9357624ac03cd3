"use strict";

// One image at a time: show it, send it, show the answer. All addresses are relative, so the server may be mounted anywhere.

const at = (id) => document.getElementById(id);
const EXAMPLES = ["airplane", "automobile", "bird", "deer", "frog", "horse", "ship", "truck"];
const SURE = 0.7; // a best probability below this is a guess: plain colours get up to 0.68, drawings of what it knows 0.8 and more
const AGAIN = 1000; // milliseconds until a model that is not there is looked for again

let model = null;
let size = { width: 32, height: 32 };
let file = null; // the image that was given last
let turn = 0; // an answer to an earlier image than the last is thrown away

async function reply(response) {
  const content = await response.json().catch(() => ({ error: `the server answered with status ${response.status}` }));
  if (response.ok) return content;
  throw Object.assign(new Error(content.error.replace(/^\[[^\]]*\] /, "")), { status: response.status });
}

async function states() {
  return reply(await fetch("v2/repository/index", { method: "POST", body: "{}" }));
}

// The models without those that are loaded and made for other things.
async function takingImages(models) {
  const others = await Promise.all(models.map(async ({ name, state }) => {
    if (state !== "READY") return false;
    const { parameters } = await reply(await fetch(`v2/models/${encodeURIComponent(name)}/config`));
    at("write").hidden &&= parameters.usage.string_value !== "text";
    return parameters.usage.string_value !== "image";
  }));
  return models.filter((_, index) => !others[index]);
}

// Until the model is there, say why it is not; then introduce it, and classify the image that waits for it.
async function meet() {
  const mine = ++turn;
  try {
    const models = await takingImages(await states());
    if (mine !== turn) return;
    if (models.length === 0) {
      say("No model here takes images.");
      return;
    }
    model ??= (models.find(({ state }) => state === "READY") ?? models[0]).name;
    showModels(models.map(({ name }) => name));
    const { state, reason } = models.find(({ name }) => name === model);
    if (mine !== turn) return;
    if (state === "READY") {
      await introduce();
      if (mine !== turn) return;
      if (file) classify(file);
      else say("No image yet.");
      return;
    }
    const why = state === "LOADING" ? "is being loaded" : reason === "unloaded" ? "is not loaded" : `cannot be used: ${reason}`;
    at("bars").replaceChildren();
    say(`${model} ${why}. This page goes on when it is there.`);
  } catch {
    if (mine !== turn) return;
    say("The server cannot be reached. This page goes on when it is there.", "error");
  }
  setTimeout(() => { if (mine === turn) meet(); }, AGAIN);
}

async function introduce() {
  at("model").textContent = model;
  at("curl").textContent = `curl --data-binary @photo.jpg ${classifyAddress()}`;
  const config = await reply(await fetch(`v2/models/${encodeURIComponent(model)}/config`));
  const [, height, width] = config.input[0].dims;
  size = { width, height };
  at("size").textContent = `${width} × ${height}`;
  const labels = JSON.parse(config.parameters.labels.string_value);
  at("classes").textContent = `${labels.length} classes`;
  at("labels").textContent = `It knows ${labels.slice(0, 20).join(", ")}${labels.length > 20 ? " and more" : ""}, and nothing else.`;
  showExamples(EXAMPLES.filter((name) => labels.includes(name)));
}

function showModels(names) {
  at("models").hidden = names.length < 2;
  at("pick").replaceChildren(...names.map((name) => new Option(name, name, false, name === model)));
}

function showExamples(names) {
  at("offer").hidden = names.length === 0;
  at("examples").replaceChildren(...names.map((name) => {
    const [button, picture] = ["button", "img"].map((tag) => document.createElement(tag));
    button.type = "button";
    [picture.src, picture.alt, picture.width, picture.height] = [`pages/${name}.svg`, `A drawing of: ${name}`, 256, 256];
    button.append(picture);
    button.addEventListener("click", () => drawn(picture).then(classify));
    return button;
  }));
}

async function drawn(picture) {
  await picture.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: 256, height: 256 });
  canvas.getContext("2d").drawImage(picture, 0, 0, 256, 256);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

function classifyAddress() {
  return new URL(`v2/models/${encodeURIComponent(model)}/classify`, document.baseURI).href;
}

function say(text, kind = "") {
  at("status").textContent = text;
  at("status").className = `status ${kind}`;
}

async function classify(given) {
  const mine = ++turn;
  file = given;
  at("bars").replaceChildren();
  at("labels").hidden = true;
  say("Looking…");
  showImage(file);
  try {
    const answer = await reply(await fetch(classifyAddress(), { method: "POST", body: file }));
    if (mine === turn) showAnswer(answer.predictions);
  } catch (problem) {
    if (mine !== turn) return;
    at("labels").hidden = false;
    if (!problem.status || [404, 503].includes(problem.status)) {
      meet();
      return;
    }
    say(sentence(problem.message), "error");
    if ([413, 415, 422].includes(problem.status)) forgetImage();
  }
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

function showImage(given) {
  const preview = at("preview");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(given);
}

function forgetImage() {
  file = null;
  URL.revokeObjectURL(at("preview").src);
  at("preview").removeAttribute("src");
  showParts(false);
}

function showPixels() {
  // What the server does with the image, done here for the eye alone: largest middle part of the right shape, made small.
  const preview = at("preview");
  const scale = Math.min(preview.naturalWidth / size.width, preview.naturalHeight / size.height);
  const [width, height] = [scale * size.width, scale * size.height];
  const [left, top] = [(preview.naturalWidth - width) / 2, (preview.naturalHeight - height) / 2];
  const canvas = at("pixels");
  [canvas.width, canvas.height] = [size.width, size.height];
  const brush = canvas.getContext("2d");
  brush.fillStyle = "white";
  brush.fillRect(0, 0, size.width, size.height);
  brush.imageSmoothingQuality = "high";
  brush.drawImage(preview, left, top, width, height, 0, 0, size.width, size.height);
}

function showParts(isImage) {
  at("preview").hidden = at("seen").hidden = !isImage;
  at("hint").hidden = isImage;
  at("drop").classList.toggle("filled", isImage);
}

const share = (probability) => `${(100 * probability).toFixed(1)} %`;

function showAnswer(predictions) {
  const { label, probability } = predictions[0];
  const best = document.createElement("strong");
  const isSure = probability >= SURE;
  best.textContent = isSure ? label : "Not sure";
  say("", isSure ? "" : "unsure");
  at("status").append(best, isSure ? ` with ${share(probability)}` : `: perhaps ${label}, with ${share(probability)}, or nothing it knows`);
  at("bars").replaceChildren(...predictions.map(bar));
}

function bar({ label, probability }) {
  const [row, name, meter, number] = ["li", "span", "progress", "span"].map((tag) => document.createElement(tag));
  name.className = "label";
  name.textContent = label;
  meter.max = 1;
  meter.value = probability;
  meter.setAttribute("aria-label", label);
  number.className = "share";
  number.textContent = share(probability);
  row.append(name, meter, number);
  return row;
}

function take(files) {
  if (files.length > 0) classify(files[0]);
}

at("preview").addEventListener("load", () => {
  if (!file) return; // refused meanwhile
  showPixels();
  showParts(true);
});
at("pick").addEventListener("change", () => { model = at("pick").value; meet(); });
at("preview").addEventListener("error", () => showParts(false));
at("file").addEventListener("change", (event) => { take(event.target.files); event.target.value = ""; });
document.addEventListener("paste", (event) => take(event.clipboardData.files));
document.addEventListener("dragover", (event) => { event.preventDefault(); at("drop").classList.add("over"); });
document.addEventListener("dragleave", () => at("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  take(event.dataTransfer.files);
});
at("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(at("curl").textContent);
    at("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(at("curl"));
    at("copy").textContent = "Selected";
  }
  setTimeout(() => { at("copy").textContent = "Copy"; }, 1500);
});
meet();
