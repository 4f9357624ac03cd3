// The description of the server, openapi.json, as a page for people.
import { at, make, sentence } from "./dom.js";
import { json } from "./http.js";
import { describe } from "./schema.js";

const GROUPS = [
  ["/v2/models", "Models and inference"], ["/v2/repository", "Loading and unloading"], ["/v2", "The server"], ["/v1/fine_tuning", "Fine-tuning jobs"],
  ["/v1/files", "Files"], ["/v1", "Text, as in the OpenAI API"], ["", "Pages and metrics"],
];

const contents = (content, schemas) => Object.entries(content ?? {}).map(([type, { schema }]) => make("div", { class: "content" }, make("p", { class: "small" }, type), describe(schema ?? {}, schemas)));

function operation(method, path, { summary, parameters = [], requestBody, responses, security }, schemas) {
  const title = make("summary", {}, make("span", { class: `method ${method}` }, method.toUpperCase()), " ", make("code", {}, path), make("span", { class: "said" }, summary));
  const parts = [];
  if (security) parts.push(make("p", { class: "small" }, "Needs a key where the server has keys."));
  const some = (place) => parameters.filter((one) => one.in === place);
  for (const [place, name] of [["path", "In the path"], ["query", "Behind the question mark"], ["header", "Headers"]]) {
    if (some(place).length === 0) continue;
    parts.push(make("h3", {}, name), make("ul", {}, ...some(place).map(({ name: one, description, schema }) => make("li", {}, make("code", {}, one), description ? `: ${description}: ` : ": ", describe(schema ?? {}, schemas)))));
  }
  if (requestBody) parts.push(make("h3", {}, requestBody.required ? "Body" : "Body, which may be left out"), ...contents(requestBody.content, schemas));
  const good = responses["200"] ?? {};
  parts.push(make("h3", {}, "Answer"), ...contents(good.content, schemas));
  const bad = Object.entries(responses).filter(([status]) => status !== "200");
  parts.push(make("h3", {}, "Errors"), make("ul", { class: "errors" }, ...bad.map(([status, { description }]) => make("li", {}, make("strong", {}, status), ` ${description}`))));
  const box = make("details", { class: "operation" }, title, make("div", { class: "inside" }, ...parts));
  box.dataset.words = `${method} ${path} ${summary}`.toLowerCase();
  return box;
}

function showAll({ paths, components }) {
  const groups = new Map(GROUPS.map(([, name]) => [name, []]));
  for (const [path, methods] of Object.entries(paths)) {
    if (path.includes("/versions/")) continue; // the same with a version behind the model's name
    const [, name] = GROUPS.find(([start]) => path.startsWith(start));
    for (const [method, one] of Object.entries(methods)) groups.get(name).push(operation(method, path, one, components.schemas));
  }
  at("groups").replaceChildren(...[...groups].filter(([, found]) => found.length).map(([name, found]) => make("section", { class: "card group" }, make("h2", {}, name), ...found)));
}

function search() {
  const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const group of document.querySelectorAll(".group")) {
    let some = false;
    for (const box of group.querySelectorAll(".operation")) {
      box.hidden = !words.every((word) => box.dataset.words.includes(word));
      some ||= !box.hidden;
      count += !box.hidden;
    }
    group.hidden = !some;
  }
  at("state").textContent = `${count} requests. A version may follow the model's name: /versions/1.`;
}

at("search").addEventListener("input", search);
at("search").form.addEventListener("submit", (event) => event.preventDefault());
json("openapi.json").then((found) => { showAll(found); search(); }, (problem) => { at("state").textContent = sentence(problem.message); });
