// One image at a time: show it, send it, show the answer of a model, or of two side by side.
import { at, besideOf, make, milliseconds, sentence, share } from "./dom.js";
import { address, ask, serverTime } from "./http.js";
import { codeIn } from "./code.js";
import { drawingBoard } from "./draw.js";

const EXAMPLES = ["airplane", "automobile", "bird", "deer", "frog", "horse", "ship", "truck"];
const SURE = 0.7; // a best probability below this is a guess: plain colours get up to 0.68, drawings of what it knows 0.8 and more

const path = (model) => `v2/models/${encodeURIComponent(model)}/classify`;

export function imagePanel(panel, lost) {
  let model = null;
  let size = { width: 32, height: 32 };
  let file = null; // the image that was given last
  let turn = 0; // an answer to an earlier image than the last is thrown away
  const code = codeIn(panel.querySelector(".code"));
  const beside = besideOf(panel, () => again());
  const board = drawingBoard(at("board"), (blob) => classify(blob, false));

  function again() {
    const names = [model.name, beside.name].filter(Boolean);
    panel.querySelector(".two").classList.toggle("comparing", names.length > 1);
    panel.querySelector(".answers").replaceChildren(...names.map((name) => answerBox(name, names.length > 1)));
    if (file) classify(file, !at("preview").hidden || at("pen").hidden);
  }

  function show(given, others) {
    const known = model?.name === given.name && panel.querySelector(".answer") && !panel.querySelector(".answers .lost");
    model = given;
    beside.offer(others.map(({ name }) => name));
    const [height, width] = given.input[0].dims.slice(-2);
    size = { width, height };
    at("size").textContent = `${width} × ${height}`;
    const { labels } = given;
    at("labels").textContent = `It knows ${labels.slice(0, 20).join(", ")}${labels.length > 20 ? " and more" : ""}, and nothing else.`;
    offerExamples(EXAMPLES.filter((name) => labels.includes(name)));
    const url = address(path(given.name));
    code({
      curl: `curl --data-binary @photo.jpg ${url}`,
      python: `import json, urllib.request\nreply = urllib.request.urlopen("${url}", data=open("photo.jpg", "rb").read())\nprint(json.load(reply)["predictions"][:3])`,
    });
    if (!known) again();
  }

  function wait(given) {
    model = given;
    turn += 1;
    panel.querySelector(".answers").replaceChildren(make("p", { class: "lost small" }, file ? "Your image waits for it." : ""));
  }

  function offerExamples(names) {
    at("offer").hidden = names.length === 0;
    if (at("examples").childElementCount === names.length) return;
    at("examples").replaceChildren(...names.map((name) => {
      const picture = make("img", { src: `pages/${name}.svg`, alt: `A drawing of: ${name}`, width: 256, height: 256 });
      const button = make("button", { type: "button" }, picture);
      button.addEventListener("click", () => { usePen(false); drawn(picture).then((blob) => classify(blob)); });
      return button;
    }));
  }

  async function classify(given, showing = true) {
    const mine = ++turn;
    file = given;
    if (showing) showImage(file);
    const boxes = [...panel.querySelectorAll(".answer")];
    boxes.forEach((box) => say(box, "Looking…"));
    await Promise.all(boxes.map((box) => answerIn(box, given, () => mine === turn)));
  }

  async function answerIn(box, given, current) {
    const begun = performance.now();
    try {
      const response = await ask(path(box.dataset.model), { method: "POST", body: given });
      const { predictions } = await response.json();
      if (current()) showAnswer(box, predictions, performance.now() - begun, serverTime(response));
    } catch (problem) {
      if (!current()) return;
      if (!problem.status || [404, 503].includes(problem.status)) {
        lost();
        return;
      }
      say(box, sentence(problem.message), "error");
      if ([413, 415, 422].includes(problem.status)) forgetImage();
    }
  }

  function showImage(given) {
    URL.revokeObjectURL(at("preview").src);
    at("preview").src = URL.createObjectURL(given);
  }

  function forgetImage() {
    file = null;
    URL.revokeObjectURL(at("preview").src);
    at("preview").removeAttribute("src");
    showParts(false);
  }

  function showParts(isImage) {
    at("preview").hidden = at("seen").hidden = !isImage;
    at("hint").hidden = isImage;
    at("drop").classList.toggle("filled", isImage);
  }

  function usePen(on) {
    at("use-pen").setAttribute("aria-pressed", on);
    at("use-file").setAttribute("aria-pressed", !on);
    at("pen").hidden = !on;
    at("drop").hidden = on;
    at("seen").hidden = on || at("preview").hidden;
    if (on) board.begin();
  }

  const take = (files) => { if (files.length > 0) { usePen(false); classify(files[0]); } };
  const isShown = () => !panel.hidden;

  at("use-pen").addEventListener("click", () => usePen(true));
  at("use-file").addEventListener("click", () => usePen(false));
  at("preview").addEventListener("load", () => {
    if (!file) return; // refused meanwhile
    showPixels(at("preview"), at("pixels"), size);
    showParts(true);
  });
  at("preview").addEventListener("error", () => showParts(false));
  at("file").addEventListener("change", (event) => { take(event.target.files); event.target.value = ""; });
  document.addEventListener("paste", (event) => { if (isShown()) take(event.clipboardData.files); });
  document.addEventListener("dragover", (event) => { if (isShown()) { event.preventDefault(); at("drop").classList.add("over"); } });
  document.addEventListener("dragleave", () => at("drop").classList.remove("over"));
  document.addEventListener("drop", (event) => {
    if (!isShown()) return;
    event.preventDefault();
    at("drop").classList.remove("over");
    take(event.dataTransfer.files);
  });
  return { show, wait, besides(name) { beside.name = name; again(); } };
}

async function drawn(picture) {
  await picture.decode();
  const canvas = make("canvas", { width: 256, height: 256 });
  canvas.getContext("2d").drawImage(picture, 0, 0, 256, 256);
  return new Promise((done) => { canvas.toBlob(done, "image/png"); });
}

// What the server does with the image, done here for the eye alone: largest middle part of the right shape, made small.
function showPixels(preview, canvas, size) {
  const scale = Math.min(preview.naturalWidth / size.width, preview.naturalHeight / size.height);
  const [width, height] = [scale * size.width, scale * size.height];
  [canvas.width, canvas.height] = [size.width, size.height];
  const brush = canvas.getContext("2d");
  brush.fillStyle = "white";
  brush.fillRect(0, 0, size.width, size.height);
  brush.imageSmoothingQuality = "high";
  brush.drawImage(preview, (preview.naturalWidth - width) / 2, (preview.naturalHeight - height) / 2, width, height, 0, 0, size.width, size.height);
}

function answerBox(name, named) {
  return make("section", { class: "answer", "data-model": name, "aria-label": `Answer of ${name}` }, named ? make("h2", {}, name) : null,
    make("p", { class: "status", role: "status", "aria-live": "polite" }, "No image yet."), make("p", { class: "timing small" }), make("ol", { class: "bars", "aria-label": "Probabilities" }));
}

function say(box, text, kind = "") {
  const status = box.querySelector(".status");
  status.textContent = text;
  status.className = `status ${kind}`;
  box.querySelector(".bars").replaceChildren();
  box.querySelector(".timing").textContent = "";
}

function showAnswer(box, predictions, all, inside) {
  const { label, probability } = predictions[0];
  const isSure = probability >= SURE;
  say(box, "", isSure ? "" : "unsure");
  box.querySelector(".status").append(make("strong", {}, isSure ? label : "Not sure"), isSure ? ` with ${share(probability)}` : `: perhaps ${label}, with ${share(probability)}, or nothing it knows`);
  box.querySelector(".timing").textContent = inside === null ? `${milliseconds(all)} there and back` : `${milliseconds(inside)} in the server, ${milliseconds(all)} there and back`;
  box.querySelector(".bars").replaceChildren(...predictions.slice(0, 20).map(bar));
}

function bar({ label, probability }) {
  return make("li", {}, make("span", { class: "label" }, label), make("progress", { max: 1, value: probability, "aria-label": label }), make("span", { class: "share" }, share(probability)));
}
