// The two drawings: pan by scrolling, zoom by buttons, choose nodes by mouse or keys.
const KINDS = {
  input: "input", product: "product, attention, embedding", norm: "normalisation, softmax", pointwise: "element by element",
  layout: "order and shape", reduce: "sum, pooling", state: "state from call to call",
};
const CLOSE = 1.25; // a step of zoom
const drawings = {};

function cut(text, most, left = false) {
  if (text.length <= most) return text;
  return left ? `…${text.slice(1 - most)}` : `${text.slice(0, most - 1)}…`;
}

// The part of the model that a node belongs to: the module of its first weight.
function partOf(node) {
  const [name] = (node.weights.find((text) => !text.startsWith("constant")) ?? "").split(/[,:]/);
  return name.replace(/\.[^.]*$/, "");
}

function drawNode(node, index, which) {
  const { width, height } = facts.node;
  const part = partOf(node);
  const lines = [[node.title, "", 24], [shown(node.type[0]), "type", 31], ...(part ? [[part, "name", 29]] : [])];
  const top = height / 2 - 8 * lines.length + 12;
  const texts = lines.map(([text, kind, most], k) => svg("text", { class: kind, x: 14, y: top + 16 * k }, cut(text, most, kind === "name")));
  const label = [node.title, ...node.type.map(shown), part].join(" "); // with what is cut short in the box
  const group = svg(
    "g", { class: "node", role: "button", tabindex: -1, style: `--of: var(--${node.kind})`,
      transform: `translate(${node.x - width / 2} ${node.y - height / 2})` },
    svg("title", {}, label), svg("rect", { class: "box", width, height, rx: 8 }), svg("rect", { class: "stripe", x: 0, y: 8, width: 5, height: height - 16 }), ...texts,
  );
  group.addEventListener("click", () => choose(which, index));
  group.addEventListener("keydown", (event) => follow(event, which, index));
  return group;
}

function drawEdge({ from, to, points }, nodes) {
  const half = facts.node.height / 2;
  const past = points.flatMap(([x, y]) => [[x, y - half], [x, y + half]]); // straight past the nodes of a layer
  const way = [[nodes[from].x, nodes[from].y + half], ...past, [nodes[to].x, nodes[to].y - half - 5]];
  let path = `M${way[0]}`;
  for (let k = 1; k < way.length; k += 1) {
    const [[x, y], [u, v]] = [way[k - 1], way[k]];
    path += ` C${x} ${(y + v) / 2} ${u} ${(y + v) / 2} ${u} ${v}`;
  }
  const [x, y] = way.at(-1);
  return svg("g", {}, svg("path", { class: "edge", d: path }), svg("path", { class: "tip", d: `M${x - 4} ${y} h8 l-4 6 z` }));
}

function drawGraph(which, title) {
  const graph = facts[which];
  const drawing = svg("svg", { viewBox: `0 0 ${graph.width} ${graph.height}`, role: "group", "aria-label": `Graph ${which} the passes` });
  const edges = graph.edges.map((edge) => drawEdge(edge, graph.nodes));
  const nodes = graph.nodes.map((node, index) => drawNode(node, index, which));
  drawing.append(...edges, ...nodes);
  nodes[0]?.setAttribute("tabindex", 0);
  const view = make("div", { class: "view" }, drawing);
  const zoom = (by) => scale(which, drawings[which].scale * by);
  const button = (text, label, act) => {
    const made = make("button", { type: "button", "aria-label": `${label}: graph ${which}` }, text);
    made.addEventListener("click", act);
    return made;
  };
  const tools = make("div", {}, button("−", "Smaller", () => zoom(1 / CLOSE)), button("+", "Larger", () => zoom(CLOSE)), button("Fit", "Fit the width", () => fit(which)));
  view.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.1 : 1 / 1.1);
  }, { passive: false });
  drag(view);
  const shownNodes = graph.nodes.length === graph.all ? "" : `, ${graph.nodes.length} drawn`;
  at("panes").append(make("div", { class: "pane", "data-which": which }, make("div", { class: "bar" }, make("h3", {}, `${title} (${count(graph.all, "node")}${shownNodes})`), tools), view));
  drawings[which] = { drawing, edges, nodes, view, scale: 1 };
}

function scale(which, value) {
  const { drawing, view, scale: old } = drawings[which];
  const now = drawings[which].scale = Math.min(3, Math.max(0.05, value));
  const [x, y] = [(view.scrollLeft + view.clientWidth / 2) / old, view.scrollTop / old];
  drawing.setAttribute("width", facts[which].width * now);
  drawing.setAttribute("height", facts[which].height * now);
  view.scrollTo(x * now - view.clientWidth / 2, y * now);
}
// The whole width, in readable size: very wide graphs are scrolled instead.
const fit = (which) => scale(which, Math.min(1, Math.max(0.72, (drawings[which].view.clientWidth - 4) / facts[which].width)));

function drag(view) {
  let last = null;
  view.addEventListener("pointerdown", (event) => { if (event.pointerType === "mouse" && !event.target.closest(".node")) last = event; });
  addEventListener("pointerup", () => { last = null; });
  addEventListener("pointermove", (event) => {
    if (!last) return;
    view.scrollBy(last.clientX - event.clientX, last.clientY - event.clientY);
    last = event;
  });
}

// Arrow keys: to what a node reads, to what reads it, to its neighbours.
function follow(event, which, index) {
  const { nodes } = facts[which];
  const node = nodes[index];
  const row = nodes.map((_, i) => i).filter((i) => nodes[i].y === node.y).sort((a, b) => nodes[a].x - nodes[b].x);
  const beside = (by) => row[row.indexOf(index) + by];
  const next = {
    ArrowUp: () => node.reads[0], ArrowDown: () => nodes.findIndex((other) => other.reads.includes(index)),
    ArrowLeft: () => beside(-1), ArrowRight: () => beside(1), Enter: () => index, " ": () => index,
  }[event.key]?.();
  if (next === undefined || next < 0) return;
  event.preventDefault();
  choose(which, next);
  drawings[which].nodes[next].focus();
}

function choose(which, index) {
  const node = facts[which].nodes[index];
  const twin = which === "after" ? "before" : "after";
  const related = which === "after" ? node.origins : facts.after.nodes.flatMap(({ origins }, i) => (origins.includes(index) ? [i] : []));
  for (const [name, { nodes, edges }] of Object.entries(drawings)) {
    const here = name === which;
    nodes.forEach((group, i) => {
      group.classList.toggle("chosen-one", here && i === index);
      group.classList.toggle("related", !here && related.includes(i));
      group.setAttribute("tabindex", (here ? i === index : i === (related[0] ?? 0)) ? 0 : -1);
    });
    edges.forEach((group, k) => {
      const { from, to } = facts[name].edges[k];
      group.firstChild.classList.toggle("related", here && (from === index || to === index));
    });
  }
  bring(which, index);
  if (related.length) bring(twin, related[0]);
  tell(which, node, related.map((i) => facts[twin].nodes[i]));
}

function bring(which, index) {
  const { view, drawing, scale: by } = drawings[which];
  const { x, y } = facts[which].nodes[index];
  const shift = Math.max(0, (view.clientWidth - facts[which].width * by) / 2);
  const [left, top] = [x * by + shift, y * by];
  const room = 60;
  if (top < view.scrollTop + room || top > view.scrollTop + view.clientHeight - room) view.scrollTop = top - view.clientHeight / 2;
  if (left < view.scrollLeft + room || left > view.scrollLeft + view.clientWidth - room) view.scrollLeft = left - view.clientWidth / 2;
}

function tell(which, node, related) {
  const { nodes } = facts[which];
  const names = (list) => list.map(({ title, settings }) => (settings ? `${title} (${settings})` : title)).join(", ");
  const codes = (texts) => texts.flatMap((text, k) => [k ? make("br") : null, make("code", {}, text)]);
  const calls = (node.calls ?? []).map((k) => facts.program.calls[k]);
  const box = at("chosen");
  box.style.setProperty("--of", `var(--${node.kind})`);
  box.replaceChildren(make("h3", {}, `${node.title}, ${which} the passes`), pairs(make("dl"), [
    ["Kind", KINDS[node.kind]], ["Settings", node.settings], ["Gives", codes(node.type)],
    ["Reads", names(node.reads.map((i) => nodes[i]))], ["Weights", codes(node.weights)], ["Output", node.outputs.join(", ")],
    [which === "after" ? "Made of" : "Became", names(related)], ["By passes", (node.passes ?? []).join(", ")],
    ["Left as it is", (node.kept ?? []).flatMap(({ pass, reason }, k) => [k ? make("br") : null, make("code", {}, pass), `: ${reason}`])],
    ["Calls", calls.map((call) => `${callName(call)}: ${amount(call.multiply_adds)} multiply-adds, ${bytes(call.bytes)}`).join("; ")],
  ]));
}

function showGraph() {
  at("legend").append(...Object.entries(KINDS).map(([kind, text]) => make("li", { style: `--of: var(--${kind})` }, text)));
  drawGraph("before", "Before the passes");
  drawGraph("after", "After");
  const show = (which) => {
    at("panes").dataset.shown = which;
    for (const name of ["before", "after"]) at(`show-${name}`).setAttribute("aria-pressed", name === which);
    fit(which);
  };
  for (const which of ["before", "after"]) at(`show-${which}`).addEventListener("click", () => show(which));
  for (const which of ["before", "after"]) fit(which);
}
