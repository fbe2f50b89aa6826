// Runs in gr.HTML with `element`, `props` and `trigger`. Strokes are kept, so that one can be undone.
const canvas = element.querySelector("canvas");
const pen = canvas.getContext("2d");
const WIDTH = 18, SOONEST = 250;
let strokes = [], current = null, timer = null, sent = 0;

function paint() {
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.strokeStyle = pen.fillStyle = "#000";
  pen.lineWidth = WIDTH;
  pen.lineCap = pen.lineJoin = "round";
  for (const stroke of strokes) {
    pen.beginPath();
    pen.moveTo(...stroke[0]);
    // A dot is a stroke without length, which a canvas would not draw.
    for (const point of stroke.length > 1 ? stroke.slice(1) : [[stroke[0][0] + 0.01, stroke[0][1]]]) pen.lineTo(...point);
    pen.stroke();
  }
}

function send() {
  clearTimeout(timer);
  timer = null;
  sent = Date.now();
  props.value = strokes.length ? canvas.toDataURL("image/png") : "";
  trigger("input");
}

function sendSoon() {
  if (timer === null) timer = setTimeout(send, Math.max(0, SOONEST - (Date.now() - sent)));
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
}

function forget() { strokes = []; current = null; paint(); send(); }
function undo() { strokes.pop(); paint(); send(); }

canvas.addEventListener("pointerdown", (event) => {
  if (event.button > 0) return;
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  current = [place(event)];
  strokes.push(current);
  paint();
});
canvas.addEventListener("pointermove", (event) => {
  if (current === null) return;
  for (const each of event.getCoalescedEvents?.() ?? [event]) current.push(place(each));
  paint();
  sendSoon();
});
for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => {
  if (current === null) return;
  current = null;
  send();
});
canvas.addEventListener("keydown", (event) => {
  if (event.key === "Escape" || event.key === "Delete") forget();
  else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") undo();
  else return;
  event.preventDefault();
});
element.querySelector("[data-do=undo]").addEventListener("click", undo);
element.querySelector("[data-do=clear]").addEventListener("click", forget);
paint();
