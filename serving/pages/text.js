"use strict";

// One text at a time: send its beginning, show what comes as it comes. All addresses are relative.

const at = (id) => document.getElementById(id);
const AGAIN = 1000; // milliseconds until models are looked for again

let model = null;
let running = null; // what stops the text that is being written

function say(text, kind = "") {
  at("status").textContent = text;
  at("status").className = `status ${kind}`;
}

async function reply(response) {
  const content = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(content.error?.message ?? content.error ?? `status ${response.status}`);
  return content;
}

// The models that write, as soon as there is one.
async function meet() {
  try {
    const ready = (await reply(await fetch("v2/models"))).models;
    const configs = await Promise.all(ready.map(async (name) => reply(await fetch(`v2/models/${encodeURIComponent(name)}/config`))));
    const names = configs.filter(({ parameters }) => parameters.usage.string_value === "text").map(({ name }) => name);
    if (names.length > 0) {
      model = names[0];
      at("model").textContent = model;
      at("models").hidden = names.length < 2;
      at("pick").replaceChildren(...names.map((name) => new Option(name)));
      say("Nothing yet.");
      return;
    }
    say("No model here writes text. This page goes on when there is one.");
  } catch (problem) {
    say(`The server cannot be asked: ${problem.message}. This page goes on when it can.`, "error");
  }
  setTimeout(meet, AGAIN);
}

// The objects of a stream of events, one after another, until it says that it is done.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (held + value).split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      if (part === "data: [DONE]") return;
      yield JSON.parse(part.slice("data: ".length));
    }
  }
}

async function write() {
  const stop = running = new AbortController();
  const asked = {
    model, prompt: at("prompt").value, stream: true, max_tokens: at("tokens").valueAsNumber,
    temperature: at("temperature").valueAsNumber, seed: at("seed").valueAsNumber,
  };
  at("go").textContent = "Stop";
  at("text").textContent = asked.prompt;
  say("Writing…");
  try {
    const response = await fetch("v1/completions", { method: "POST", body: JSON.stringify(asked), signal: stop.signal });
    if (!response.ok) await reply(response);
    for await (const { choices, error } of events(response)) {
      if (error) throw new Error(error.message);
      at("text").append(...choices.map(({ text }) => text));
    }
    say("Done.");
  } catch (problem) {
    say(problem.name === "AbortError" ? "Stopped." : `${problem.message}.`, problem.name === "AbortError" ? "" : "error");
  }
  running = null;
  at("go").textContent = "Write";
}

at("pick").addEventListener("change", () => { model = at("pick").value; at("model").textContent = model; });
at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) running.abort();
  else if (model) write();
});
meet();
