// What all parts of the page say numbers and build elements with.
const facts = JSON.parse(document.getElementById("facts").textContent);
const at = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

// make("td", { class: "number" }, "12") is an element; svg(...) one of a drawing. Children are elements or texts.
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

function scaled(value, steps, base) {
  let unit = 0;
  while (Math.abs(value) >= base && unit < steps.length - 1) { value /= base; unit += 1; }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)}${steps[unit]}`;
}
const bytes = (n) => scaled(n, [" B", " KB", " MB", " GB"], 1024);
const amount = (n) => scaled(n, ["", " K", " M", " G", " T"], 1000);
const count = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
const times = (shape) => shape.join(" × ") || "scalar";
const many = (rows, key) => rows.reduce((sum, row) => sum + row[key], 0);

// "float32(batch, 8, 8, 16)" as "batch × 8 × 8 × 16", with the dtype where it is another.
function shown(type) {
  const [, dtype, shape] = type.match(/^(\w+)\((.*)\)$/s);
  return `${dtype === "float32" ? "" : `${dtype} `}${shape ? shape.replaceAll(", ", " × ") : "scalar"}`;
}

function heads(table, names) {
  const row = make("tr", {}, ...names.map((name) => make("th", { scope: "col", class: name.startsWith(">") ? "number" : null }, name.replace(">", ""))));
  table.append(make("thead", {}, row));
  return table.appendChild(make("tbody"));
}

function pairs(list, entries) {
  for (const [name, value] of entries) {
    if (value === "" || value === null || value === undefined) continue;
    const values = Array.isArray(value) ? value : [value];
    if (values.length) list.append(make("dt", {}, name), make("dd", {}, ...values));
  }
  return list;
}
