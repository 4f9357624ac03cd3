"use strict";

// One image at a time: show it, send it, show the answer. All addresses are relative, so the server may be mounted anywhere.

const at = (id) => document.getElementById(id);
let model = "resnet9";
let size = { width: 32, height: 32 };
let turn = 0; // an answer to an earlier image than the last is thrown away

async function reply(response) {
  const content = await response.json().catch(() => ({ error: `the server answered with status ${response.status}` }));
  if (!response.ok) throw new Error(content.error.replace(/^\[[^\]]*\] /, ""));
  return content;
}

async function introduce() {
  const { models } = await reply(await fetch("v2/models"));
  if (models.length === 0) {
    at("labels").textContent = "It is still being loaded.";
    setTimeout(introduce, 1000);
    return;
  }
  model = models[0];
  at("model").textContent = model;
  at("curl").textContent = `curl --data-binary @photo.jpg ${classifyAddress()}`;
  const config = await reply(await fetch(`v2/models/${encodeURIComponent(model)}/config`));
  const [, height, width] = config.input[0].dims;
  size = { width, height };
  at("size").textContent = `${width} × ${height}`;
  const labels = JSON.parse(config.parameters.labels.string_value);
  at("classes").textContent = `${labels.length} classes`;
  at("labels").textContent = `It knows ${labels.slice(0, 20).join(", ")}${labels.length > 20 ? " and more" : ""}, and nothing else.`;
}

function classifyAddress() {
  return new URL(`v2/models/${encodeURIComponent(model)}/classify`, document.baseURI).href;
}

function say(text, isError = false) {
  at("status").textContent = text;
  at("status").classList.toggle("error", isError);
}

async function classify(file) {
  const mine = ++turn;
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
    say(problem instanceof TypeError ? "The server cannot be reached." : sentence(problem.message), true);
  }
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

function showImage(file) {
  const preview = at("preview");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
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
  const best = document.createElement("strong");
  best.textContent = predictions[0].label;
  say("");
  at("status").append(best, ` with ${share(predictions[0].probability)}`);
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

at("preview").addEventListener("load", () => { showPixels(); showParts(true); });
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
introduce().catch((problem) => say(sentence(problem.message), true));
