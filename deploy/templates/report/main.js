// What the page is made of, from its top.
const sizesText = () => Object.entries(facts.sizes).map(([name, size]) => `${name} ${size}`).join(", ") || "its fixed sizes";

function showSums() {
  const ports = (list) => list.map(({ name, type }) => `${name} (${shown(type)})`).join(", ");
  at("about").textContent = `${ports(facts.inputs)} → ${ports(facts.outputs)}`;
  const sums = [
    ["Nodes", `${facts.before.all} → ${facts.after.all}`, "before and after the passes"],
    ["Weights", bytes(facts.weights_bytes), count(facts.weights.length, "array")],
  ];
  if (facts.program) {
    const { calls, arena } = facts.program;
    sums.push(["Calls of kernels", `${calls.length}`, "one after the other"], ["Multiply-adds", amount(many(calls, "multiply_adds")), `at ${sizesText()}`],
      ["Arena", bytes(arena.bytes), "scratch memory, shared"]);
  }
  if (facts.state_bytes) sums.push(["State", bytes(facts.state_bytes), "kept from call to call"]);
  at("sums").append(...sums.map(([name, value, about]) => make("div", {}, make("dt", {}, name), make("dd", {}, value, make("small", {}, about)))));
}

function showCard() {
  const text = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : `${value}`);
  const entries = Object.entries(facts.card).map(([name, value]) => [name, cut(text(value), 600)]);
  pairs(at("card-rows"), entries.length ? entries : [["", "The graph has no card."]]);
}

showSums();
showGraph();
showPasses();
showCalls();
showArena();
showWeights();
showCard();
