// The arena: a box for each value, from the call that makes it to the last that reads it, where it lies in memory.
const [WIDE, TALL, LEFT, BELOW] = [1100, 380, 76, 34];

function showArena() {
  if (!facts.program) {
    at("arena-about").textContent = "Without a program there is none.";
    return;
  }
  const { arena: { bytes: total, buffers }, calls } = facts.program;
  if (total === 0) {
    at("arena-about").textContent = "This program needs none: all it computes goes straight into its outputs.";
    return;
  }
  const alone = many(buffers, "bytes");
  at("arena-about").textContent = `${bytes(total)} at ${sizesText()} and one thread; without sharing it would be ${bytes(alone)}. Calls run from left to right, bytes from below; each box is a value from the call that makes it to the last that reads it.`;
  const x = (call) => LEFT + ((WIDE - LEFT - 8) * call) / calls.length;
  const y = (byte) => TALL - BELOW - ((TALL - BELOW - 8) * byte) / total;
  const drawing = svg("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, role: "group", "aria-label": "Arena over the calls" });
  for (let k = 0; k <= 4; k += 1) {
    const byte = (total * k) / 4;
    drawing.append(svg("line", { class: "axis", x1: LEFT, x2: WIDE - 8, y1: y(byte), y2: y(byte) }), svg("text", { x: LEFT - 8, y: y(byte) + 4, "text-anchor": "end" }, bytes(byte)));
  }
  const step = Math.max(1, Math.ceil(calls.length / 24));
  for (let k = 0; k < calls.length; k += step) drawing.append(svg("text", { x: (x(k) + x(k + 1)) / 2, y: TALL - BELOW + 16, "text-anchor": "middle" }, `${k}`));
  drawing.append(svg("text", { x: (LEFT + WIDE) / 2, y: TALL - 3, "text-anchor": "middle" }, "call"));
  const boxes = buffers.map((buffer, index) => {
    const [left, right, low, high] = [x(buffer.first), x(buffer.last + 1), y(buffer.start), y(buffer.start + buffer.bytes)];
    const scratch = buffer.what === "scratch";
    const name = scratch ? "scratch" : buffer.what.match(/^\w+\(/) ? shown(buffer.what) : buffer.what;
    const place = buffer.first === buffer.last ? `in call ${buffer.first}` : `from call ${buffer.first} to ${buffer.last}`;
    const said = `${name}: ${bytes(buffer.bytes)} from byte ${buffer.start.toLocaleString("en")} on, ${place}`;
    const fits = (right - left) / 6.4 > name.length && low - high > 13;
    const box = svg("g", { class: "buffer-box", role: "button", tabindex: index ? -1 : 0, style: `--of: var(--${scratch ? "layout" : "product"})` },
      svg("rect", { x: left + 0.5, y: high, width: Math.max(1, right - left - 1), height: Math.max(1, low - high), rx: 2 }),
      fits ? svg("text", { x: (left + right) / 2, y: (low + high) / 2 + 4, "text-anchor": "middle" }, name) : null, svg("title", {}, said));
    const pick = (other) => {
      boxes.forEach((one, k) => { one.classList.toggle("chosen-one", k === other); one.setAttribute("tabindex", k === other ? 0 : -1); });
      boxes[other].focus({ preventScroll: true });
      at("buffer").textContent = boxes[other].querySelector("title").textContent;
    };
    box.addEventListener("click", () => pick(index));
    box.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Enter: 0, " ": 0 }[event.key];
      if (by === undefined || !boxes[index + by]) return;
      event.preventDefault();
      pick(index + by);
    });
    return box;
  });
  drawing.append(...boxes);
  at("timeline").append(make("div", { class: "wide" }, drawing));
}
