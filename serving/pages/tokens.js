// A text whose tokens tell, by pointer or arrow keys, how probable they were and what else might have come.
import { make, share } from "./dom.js";

const SHADES = [0.05, 0.2, 0.5]; // probabilities between the shades of tokens
const visible = (text) => (text.trim() === "" ? JSON.stringify(text) : `“${text.replaceAll("\n", "⏎")}”`);

export function tokenView() {
  let tokens = []; // { element, logprob, top }
  let current = -1;
  const text = make("div", { class: "text", tabindex: 0, role: "group", "aria-label": "The text. Arrow keys go from token to token." });
  const told = make("div", { class: "told", role: "status", "aria-live": "polite", hidden: true });
  const keys = [...SHADES.keys()].slice(0, 3).map((k) => make("span", { class: `token p${k}` }, `below ${100 * SHADES[k]} %`));
  const legend = make("p", { class: "small shades", hidden: true }, "How probable a token was:", ...keys, "else unshaded");
  const box = make("div", { class: "tokens" }, text, legend, told);

  function begin(prompt) {
    tokens = [];
    hide();
    legend.hidden = true;
    text.replaceChildren(make("span", { class: "given" }, prompt));
  }

  // A part of the stream: its text, token by token where the tokens make up just that text.
  function add({ text: piece, logprobs }) {
    const names = logprobs?.tokens ?? [];
    if (names.join("") !== piece) {
      text.append(piece);
      return;
    }
    legend.hidden = false;
    names.forEach((name, k) => {
      const logprob = logprobs.token_logprobs[k];
      const shade = SHADES.filter((limit) => Math.exp(logprob) >= limit).length;
      const element = make("span", { class: `token p${shade}` }, name);
      element.dataset.k = tokens.length;
      tokens.push({ element, name, logprob, top: logprobs.top_logprobs?.[k] ?? {} });
      text.append(element);
    });
  }

  function hide() {
    tokens[current]?.element.classList.remove("current");
    current = -1;
    told.hidden = true;
  }

  function show(k) {
    if (!tokens[k]) return;
    tokens[current]?.element.classList.remove("current");
    current = k;
    const { element, name, logprob, top } = tokens[k];
    element.classList.add("current");
    const rows = Object.entries(top).sort(([, a], [, b]) => b - a);
    told.replaceChildren(
      make("p", {}, make("strong", {}, visible(name)), ` had ${share(Math.exp(logprob))}; most probable here:`),
      make("ol", {}, ...rows.map(([other, value]) => make("li", { class: other === name ? "taken" : null }, make("span", { class: "label" }, visible(other)),
        make("progress", { max: 1, value: Math.exp(value), "aria-label": `Probability of ${visible(other)}` }), make("span", { class: "share" }, share(Math.exp(value)))))),
    );
    told.hidden = false;
    const [line] = element.getClientRects();
    const frame = box.getBoundingClientRect();
    told.style.top = `${line.bottom - frame.top + 6}px`;
    told.style.setProperty("--left", `${line.left - frame.left}px`); // which the style keeps inside, in any width
  }

  text.addEventListener("pointerover", (event) => { if (event.target.dataset.k) show(Number(event.target.dataset.k)); });
  text.addEventListener("click", (event) => { if (event.target.dataset.k) show(Number(event.target.dataset.k)); });
  box.addEventListener("pointerleave", () => { if (document.activeElement !== text) hide(); });
  text.addEventListener("blur", hide);
  text.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10 }[event.key];
    if (event.key === "Escape") hide();
    if (!by || tokens.length === 0) return;
    event.preventDefault();
    show(Math.min(tokens.length - 1, Math.max(0, current < 0 ? 0 : current + by)));
    tokens[current].element.scrollIntoView({ block: "nearest" });
  });
  return { box, begin, add };
}
