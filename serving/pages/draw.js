// A board to draw on, by pointer or by keys; what is on it is given on shortly after each stroke.
import { at, settled } from "./dom.js";

const STEP = 12; // pixels that an arrow key moves the pen

export function drawingBoard(canvas, drawn) {
  const brush = canvas.getContext("2d");
  let down = false;
  let place = [canvas.width / 2, canvas.height / 2];
  let begun = false;
  const give = settled(() => canvas.toBlob(drawn, "image/png"), 250);

  function clear() {
    brush.fillStyle = "white";
    brush.fillRect(0, 0, canvas.width, canvas.height);
  }

  function line(to) {
    brush.strokeStyle = at("colour").value;
    brush.lineWidth = at("thick").valueAsNumber;
    brush.lineCap = brush.lineJoin = "round";
    brush.beginPath();
    brush.moveTo(...place);
    brush.lineTo(to[0] + 0.01, to[1]); // a dot is a line, too
    brush.stroke();
    give();
  }

  const where = (event) => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    return [((event.clientX - left) * canvas.width) / width, ((event.clientY - top) * canvas.height) / height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    place = where(event);
    line(place);
    down = true;
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!down || !canvas.hasPointerCapture(event.pointerId)) return;
    const to = where(event);
    line(to);
    place = to;
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { down = false; });
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    if (!by && event.key !== " ") return;
    event.preventDefault();
    if (!by) down = !down;
    const to = by ? place.map((x, axis) => Math.min(canvas.width, Math.max(0, x + by[axis]))) : place;
    if (down) line(to);
    place = to;
  });
  canvas.addEventListener("blur", () => { down = false; });
  at("clear").addEventListener("click", clear);
  return { begin() { if (!begun) clear(); begun = true; } };
}
