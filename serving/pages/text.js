// A text that is written on, token by token, by a model or by two side by side.
import { at, besideOf, make, milliseconds, sentence } from "./dom.js";
import { address, events, post } from "./http.js";
import { codeIn, keywords, quoted } from "./code.js";
import { tokenView } from "./tokens.js";

const ALTERNATIVES = 5;

export function textPanel(panel) {
  let model = null;
  let running = null; // what stops the texts that are being written
  const code = codeIn(panel.querySelector(".code"));
  const beside = besideOf(panel, () => columns());
  let views = [];

  function settings() {
    const number = (id) => at(id).valueAsNumber;
    const stop = at("stop").value.replaceAll("\\n", "\n");
    return {
      prompt: at("prompt").value, max_tokens: number("tokens"), temperature: number("temperature"), top_p: number("top-p"),
      seed: number("seed"), ...(stop ? { stop } : {}),
    };
  }

  function columns() {
    const names = [model.name, beside.name].filter(Boolean);
    views = names.map((name) => writing(name, names.length > 1));
    panel.querySelector(".writings").replaceChildren(...views.map(({ box }) => box));
    showCode();
  }

  function showCode() {
    if (!model) return;
    const body = { model: model.name, ...settings() };
    code({
      curl: `curl -N ${address("v1/completions")} -d ${quoted({ ...body, stream: true })}`,
      python: `import openai\nclient = openai.OpenAI(base_url="${address("v1")}", api_key="none")\nfor part in client.completions.create(${keywords({ ...body, stream: true })}):\n    print(part.choices[0].text, end="")`,
    });
  }

  async function write() {
    const stop = running = new AbortController();
    at("go").textContent = "Stop";
    await Promise.all(views.map((view) => view.write({ model: view.name, ...settings() }, stop.signal)));
    if (running === stop) {
      running = null;
      at("go").textContent = "Write";
    }
  }

  at("ask").addEventListener("input", showCode);
  at("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) running.abort();
    else if (model) write();
  });
  return {
    show(given, others) {
      const known = model?.name === given.name && views.length > 0;
      model = given;
      beside.offer(others.map(({ name }) => name));
      if (!known) {
        running?.abort();
        columns();
      }
    },
    wait() { running?.abort(); },
    besides(name) { beside.name = name; columns(); },
  };
}

// One text: where it is shown, and how it comes there.
function writing(name, named) {
  const status = make("p", { class: "status small", role: "status", "aria-live": "polite" }, "Nothing yet.");
  const view = tokenView();
  const box = make("section", { class: "card writing", "aria-label": `Text of ${name}` }, make("h2", {}, named ? name : "The text"), status, view.box);
  const say = (text, error = false) => {
    status.textContent = text;
    status.classList.toggle("error", error);
  };

  async function write(body, signal) {
    view.begin(body.prompt);
    say("Writing…");
    const begun = performance.now();
    let [first, count] = [null, 0];
    const rate = () => `${count} tokens, the first after ${milliseconds(first)}, ${Math.round((1000 * Math.max(1, count - 1)) / Math.max(1, performance.now() - begun - first))} a second`;
    try {
      const response = await post("v1/completions", { ...body, stream: true, logprobs: ALTERNATIVES }, { signal });
      let reason = "";
      for await (const { choices: [choice] } of events(response)) {
        if (!choice) continue;
        first ??= performance.now() - begun;
        view.add(choice);
        count += choice.logprobs?.tokens.length ?? 0;
        reason = choice.finish_reason ?? reason;
      }
      say(`Done: ${rate()}${reason === "stop" ? "; it ended by itself" : ""}.`);
    } catch (problem) {
      if (problem.name === "AbortError") say(first === null ? "Stopped." : `Stopped: ${rate()}.`);
      else say(sentence(problem.message), true);
    }
  }
  return { name, box, write };
}
