// Losses by steps, as a drawing that grows: of each batch, smoothed, and of what is held out.
import { make } from "./dom.js";

const [WIDTH, HEIGHT, LEFT, BELOW, RIGHT, ABOVE] = [560, 230, 56, 30, 12, 12];

const tick = (loss) => (Math.abs(loss) >= 0.1 ? loss.toPrecision(3) : Math.abs(loss) >= 0.001 ? loss.toPrecision(2) : loss.toExponential(0));

// The mean of a loss and those before it, which count less and less.
export function smoothed(points) {
  let [mean, weight] = [0, 0];
  return points.map(([step, loss]) => {
    if (Number.isFinite(loss)) [mean, weight] = [0.9 * mean + 0.1 * loss, 0.9 * weight + 0.1];
    return [step, weight ? mean / weight : loss];
  });
}

// `lines` are { name, points: [[step, loss], ...], dots }; `last` is the last step that there will be.
export function draw(box, lines, last) {
  const points = lines.flatMap((line) => line.points);
  if (points.length === 0) {
    box.replaceChildren();
    return;
  }
  const losses = points.map(([, loss]) => loss).filter(Number.isFinite);
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  const x = (step) => LEFT + ((WIDTH - LEFT - RIGHT) * step) / Math.max(1, last);
  const y = (loss) => ABOVE + ((HEIGHT - ABOVE - BELOW) * (high + room - loss)) / (high - low + 2 * room || 1);
  const children = [];
  for (let k = 0; k <= 3; k += 1) {
    const loss = low + ((high - low) * k) / 3;
    children.push(make("svg:line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: y(loss), y2: y(loss) }), make("svg:text", { x: LEFT - 6, y: y(loss) + 4, "text-anchor": "end" }, tick(loss)));
  }
  for (const step of [0, Math.round(last / 2), last]) children.push(make("svg:text", { x: x(step), y: HEIGHT - 10, "text-anchor": step === last ? "end" : "middle" }, step === last ? `step ${last}` : `${step}`));
  lines.forEach(({ points: some, dots }, k) => {
    const finite = some.filter(([, loss]) => Number.isFinite(loss));
    children.push(make("svg:path", { class: `line line-${k}`, d: finite.map(([step, loss], i) => `${i ? "L" : "M"}${x(step)} ${y(loss)}`).join(" ") }));
    if (dots) children.push(...finite.map(([step, loss]) => make("svg:circle", { class: `dot line-${k}`, cx: x(step), cy: y(loss), r: 4 })));
  });
  const said = lines.filter((line) => line.points.length).map(({ name, points: some }) => `${name} ${some[0][1].toPrecision(3)} at step ${some[0][0]}, ${some.at(-1)[1].toPrecision(3)} at step ${some.at(-1)[0]}`).join("; ");
  const legend = lines.map(({ name }, k) => make("span", { class: `key line-${k}` }, name));
  box.replaceChildren(make("svg:svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Losses: ${said}` }, ...children), make("p", { class: "small legend" }, ...legend));
}
