// What is told in rows: passes, what they left, calls, weights.
const callName = (call) => [call.kernel, call.functor, ...call.epilogue.map((step) => `+ ${step}`)].filter(Boolean).join(" ");
const link = (text, label, act) => {
  const made = make("button", { type: "button", "aria-label": label }, text);
  made.addEventListener("click", act);
  return made;
};

function goTo(index) {
  at("show-after").click();
  choose("after", index);
  at("graph").scrollIntoView();
  drawings.after.nodes[index].focus({ preventScroll: true });
}

function showPasses() {
  const body = heads(at("pass-rows"), ["Pass", ">Replaced", "Equation"]);
  for (const { name, equation, applied } of facts.passes) {
    body.append(make("tr", { class: applied ? null : "none" }, make("td", { class: "nowrap" }, make("strong", {}, name)), make("td", { class: "number" }, applied || "–"), make("td", { class: "code" }, equation)));
  }
  const groups = new Map();
  facts.after.nodes.forEach((node, index) => node.kept.forEach(({ pass, reason }) => {
    const key = [pass, node.title, reason].join("\n");
    groups.set(key, [...(groups.get(key) ?? []), index]);
  }));
  at("kept-none").hidden = groups.size > 0;
  at("kept-rows").hidden = groups.size === 0;
  const rows = heads(at("kept-rows"), ["Pass", ">Nodes", "Op", "Why"]);
  for (const [key, indices] of groups) {
    const [pass, title, reason] = key.split("\n");
    const show = link(`${indices.length}`, `Show the first of ${count(indices.length, "node")}: ${title}`, () => goTo(indices[0]));
    rows.append(make("tr", {}, make("td", { class: "nowrap" }, pass), make("td", { class: "number" }, show), make("td", { class: "nowrap" }, title), make("td", {}, reason)));
  }
}

function withBar(value, largest, text) {
  const width = largest ? Math.round((100 * value) / largest) : 0;
  return make("td", { class: "bars" }, text, make("span", { class: "share", style: `width: ${width}%` }));
}

function showCalls() {
  const table = at("call-rows");
  if (!facts.program) {
    at("calls-about").textContent = `There is no program: ${facts.refused}.`;
    table.hidden = true;
    return;
  }
  const { calls } = facts.program;
  at("calls-about").textContent = `The kernels that the program calls, in order; counted at ${sizesText()}. Multiply-adds are those of direct sums, bytes what is read and written.`;
  const most = (key) => Math.max(...calls.map((call) => call[key]));
  const owners = new Map(facts.after.nodes.flatMap((node, index) => node.calls.map((k) => [k, index])));
  const body = heads(table, [">Call", "Kernel", "Writes", ">Multiply-adds", ">Bytes", "Node"]);
  calls.forEach((call, k) => {
    const owner = owners.get(k);
    const node = owner === undefined ? "an output or state" : link(facts.after.nodes[owner].title, `Show node ${facts.after.nodes[owner].title} of call ${k}`, () => goTo(owner));
    body.append(make("tr", {}, make("td", { class: "number" }, `${k}`), make("td", {}, callName(call)), make("td", { class: "nowrap" }, call.writes.map(({ dtype, shape }) => `${dtype === "float32" ? "" : `${dtype} `}${times(shape)}`)[0]),
      withBar(call.multiply_adds, most("multiply_adds"), call.multiply_adds ? amount(call.multiply_adds) : "–"), withBar(call.bytes, most("bytes"), bytes(call.bytes)), make("td", {}, node)));
  });
}

function histogram({ counts, low, high, name }) {
  if (!counts) return "";
  const [width, height, most] = [120, 30, Math.max(...counts)];
  const bar = width / counts.length;
  const bars = counts.map((n, k) => svg("rect", { x: k * bar, y: height - Math.max(n ? 1 : 0, (height * n) / most), width: bar - 0.6, height: (height * n) / most || 0 }));
  const zero = low < 0 && high > 0 ? svg("line", { x1: (-low / (high - low)) * width, x2: (-low / (high - low)) * width, y1: 0, y2: height }) : null;
  return svg("svg", { class: "histogram", width, height, role: "img", "aria-label": `Values of ${name} from ${low.toPrecision(3)} to ${high.toPrecision(3)}` }, ...bars, zero);
}

function showWeights() {
  const rows = facts.weights;
  const packed = facts.program ? `; packed for the kernels ${bytes(facts.program.weights_bytes)}` : "";
  at("weights-about").textContent = `${count(rows.length, "array")}, ${bytes(facts.weights_bytes)} in the file${packed}. Histograms run from the least to the largest value; the line is 0.`;
  const body = heads(at("weight-rows"), ["Name", "Shape", "Dtype", ">Bytes", "Values", ">Least", ">Largest", ">Mean", ">Deviation"]);
  const text = (x) => (x === undefined ? "–" : Number(x).toPrecision(3));
  for (const row of rows) {
    const numbers = [row.low, row.high, row.mean, row.std].map((x) => make("td", { class: "number" }, text(x)));
    body.append(make("tr", {}, make("td", { class: "code nowrap" }, row.name), make("td", { class: "nowrap" }, times(row.shape)), make("td", {}, row.dtype), make("td", { class: "number" }, bytes(row.bytes)), make("td", {}, histogram(row)), ...numbers));
  }
}
