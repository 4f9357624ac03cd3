// Pictures that a model makes of noise: one for each seed, and those on the way from one to another.
import { at, make, milliseconds, sentence } from "./dom.js";
import { address, post } from "./http.js";
import { codeIn, python, quoted } from "./code.js";

const FRAMES = 32; // pictures of a walk
const GAP = 2; // white pixels around each picture of a sheet, in rows of 8
const PAUSE = 90; // milliseconds between the pictures of a walk

export function noisePanel(panel) {
  let model = null;
  let ends = []; // the seeds of the two pictures that were chosen last
  let frames = [];
  let playing = null;
  let turn = 0;
  const code = codeIn(panel.querySelector(".code"));

  const path = () => `v2/models/${encodeURIComponent(model.name)}/sample`;
  const cell = () => model.output[0].dims.slice(-2); // rows, columns

  async function sheet(body) {
    const picture = await createImageBitmap(await (await post(path(), body)).blob());
    const [height, width] = cell();
    const count = body.seeds?.length ?? body.count;
    return Array.from({ length: count }, (_, k) => {
      const canvas = make("canvas", { width, height });
      canvas.getContext("2d").drawImage(picture, GAP + (k % 8) * (width + GAP), GAP + Math.floor(k / 8) * (height + GAP), width, height, 0, 0, width, height);
      return canvas;
    });
  }

  function showCode(body) {
    code({
      curl: `curl ${address(path())} -d ${quoted(body)} -o pictures.png`,
      python: `import json, urllib.request\nasked = json.dumps(${python(body)}).encode()\nopen("pictures.png", "wb").write(urllib.request.urlopen("${address(path())}", data=asked).read())`,
    });
  }

  const say = (text, error = false) => {
    at("noise-state").textContent = text;
    at("noise-state").classList.toggle("error", error);
  };

  async function sample() {
    const mine = ++turn;
    const first = at("first").valueAsNumber;
    const seeds = Array.from({ length: Math.min(at("many").valueAsNumber, model.most) }, (_, k) => first + k);
    showCode({ seeds });
    say("Sampling…");
    const begun = performance.now();
    try {
      const pictures = await sheet({ seeds });
      if (mine !== turn) return;
      say(`${seeds.length} pictures in ${milliseconds(performance.now() - begun)}.`);
      at("grid").replaceChildren(...pictures.map((canvas, k) => {
        const button = make("button", { type: "button", "aria-label": `Picture of seed ${seeds[k]}`, "aria-pressed": false, title: `Seed ${seeds[k]}` }, canvas);
        button.dataset.seed = seeds[k];
        button.addEventListener("click", () => pick(seeds[k]));
        return button;
      }));
      ends = seeds.slice(0, 2);
      walk();
    } catch (problem) {
      if (mine === turn) say(sentence(problem.message), true);
    }
  }

  function pick(seed) {
    ends = [ends.at(-1), seed];
    walk();
  }

  async function walk() {
    const mine = ++turn;
    stop();
    for (const button of at("grid").children) button.setAttribute("aria-pressed", ends.includes(Number(button.dataset.seed)));
    const body = { between: ends, count: Math.min(FRAMES, model.most) };
    try {
      const found = await sheet(body);
      if (mine !== turn) return;
      frames = found;
      at("ends").textContent = `From seed ${ends[0]} to seed ${ends[1]}, in ${frames.length} steps.`;
      at("way").max = frames.length - 1;
      at("way").disabled = at("play").disabled = false;
      at("way").value = 0;
      frame();
      showCode(body);
    } catch (problem) {
      if (mine === turn) at("ends").textContent = sentence(problem.message);
    }
  }

  function frame() {
    const picture = frames[at("way").valueAsNumber];
    if (!picture) return;
    [at("walk").width, at("walk").height] = [picture.width, picture.height];
    at("walk").getContext("2d").drawImage(picture, 0, 0);
    at("way").setAttribute("aria-valuetext", `step ${at("way").value} of ${frames.length - 1}`);
  }

  function stop() {
    clearInterval(playing);
    playing = null;
    at("play").textContent = "Play";
  }

  at("sample").addEventListener("submit", (event) => { event.preventDefault(); sample(); });
  at("way").addEventListener("input", () => { stop(); frame(); });
  at("play").addEventListener("click", () => {
    if (playing) { stop(); return; }
    let by = 1;
    at("play").textContent = "Stop";
    playing = setInterval(() => {
      const next = at("way").valueAsNumber + by;
      if (next < 0 || next >= frames.length) by = -by;
      at("way").value = at("way").valueAsNumber + by;
      frame();
    }, PAUSE);
  });
  return {
    show(given) {
      const known = model?.name === given.name && frames.length > 0;
      model = given;
      at("many").max = given.most;
      if (!known) sample();
    },
    wait() { turn += 1; stop(); },
    besides() {},
  };
}
