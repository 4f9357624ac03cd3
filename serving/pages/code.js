// The lines for a terminal and for Python that do what a panel does.
import { make } from "./dom.js";
import { usesKey } from "./http.js";

let count = 0;

// `box` becomes the place of the lines; what it returns shows others: show({ curl, python }).
export function codeIn(box) {
  count += 1;
  const places = Object.fromEntries(["curl", "Python"].map((name) => [name.toLowerCase(), make("code")]));
  const line = (name) => {
    const copy = make("button", { type: "button", "aria-label": `Copy the lines for ${name}` }, "Copy");
    const code = places[name.toLowerCase()];
    copy.addEventListener("click", () => copied(copy, code));
    return make("div", { class: "line" }, make("pre", { tabindex: 0, role: "region", "aria-label": `The same with ${name}` }, code), copy);
  };
  box.classList.add("card", "code");
  box.replaceChildren(make("details", { open: true }, make("summary", {}, "The same from a terminal, and from Python"), line("curl"), line("Python")));
  return ({ curl, python }) => {
    places.curl.textContent = usesKey() ? curl.replaceAll(/^curl /gm, 'curl -H "Authorization: Bearer $$KEY" ') : curl;
    places.python.textContent = python;
  };
}

async function copied(button, code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

// A value as a shell takes it in quotes, and as Python writes it.
export const quoted = (value) => `'${JSON.stringify(value).replaceAll("'", "'\\''")}'`;
export function python(value) {
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (value !== null && typeof value === "object") return `{${Object.entries(value).map(([name, one]) => `"${name}": ${python(one)}`).join(", ")}}`;
  return value === null ? "None" : value === true ? "True" : value === false ? "False" : JSON.stringify(value);
}
// The arguments of a call of the OpenAI client: name=value.
export const keywords = (body) => Object.entries(body).map(([name, value]) => `${name}=${python(value)}`).join(", ");
