// Small words for the page's elements.

export const at = (id) => document.getElementById(id);

// make("button", { type: "button", class: "main", "aria-label": "..." }, "text", element, ...)
export function make(tag, attributes = {}, ...children) {
  const element = tag.includes(":") ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4)) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
export const share = (probability) => `${(100 * probability).toFixed(1)} %`;
export const duration = (seconds) => (seconds < 90 ? `${Math.max(0, Math.round(seconds))} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`);
export const milliseconds = (value) => (value < 9.95 ? `${value.toFixed(1)} ms` : value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`);

// Only the last of calls that come quickly one after the other.
export function settled(act, wait) {
  let timer = null;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), wait);
  };
}

// A choice of a model of the same kind to show beside the chosen one; `changed` is told of another choice.
export function besideOf(panel, changed) {
  const box = panel.querySelector(".beside");
  const select = box.querySelector("select");
  select.addEventListener("change", changed);
  return {
    get name() { return box.hidden ? "" : select.value; },
    set name(name) { select.value = name; },
    offer(names) {
      const kept = select.value;
      box.hidden = names.length === 0;
      select.replaceChildren(new Option("nothing", ""), ...names.map((name) => new Option(name)));
      select.value = names.includes(kept) ? kept : "";
    },
  };
}
