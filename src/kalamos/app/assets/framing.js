// Runs in gr.HTML with `element`, `props`, `trigger` and `watch`. The server gives a small copy of the picture;
// what goes back are numbers: degrees clockwise, and a rectangle in shares of the turned picture's sides.
const canvas = element.querySelector("canvas"), pen = canvas.getContext("2d");
const range = element.querySelector("input"), output = element.querySelector("output");
const LARGEST = 480, LEAST = 0.03, STEP = 0.02;
let picture = null, quarters = 0, box = null, start = null, before = null, timer = null;

const turn = () => 90 * quarters + Number(range.value);
const within = (value, most = 1) => Math.min(most, Math.max(0, value));

function paint() {
  if (!picture) return;
  const angle = turn() * Math.PI / 180, sine = Math.abs(Math.sin(angle)), cosine = Math.abs(Math.cos(angle));
  const width = picture.width * cosine + picture.height * sine, height = picture.height * cosine + picture.width * sine;
  const scale = LARGEST / Math.max(width, height);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  pen.save();
  pen.translate(canvas.width / 2, canvas.height / 2);
  pen.rotate(angle);
  pen.scale(scale, scale);
  pen.drawImage(picture, -picture.width / 2, -picture.height / 2);
  pen.restore();
  output.textContent = `${range.value}°`;
  if (!box) return;
  const [left, top, right, bottom] = [box[0] * canvas.width, box[1] * canvas.height, box[2] * canvas.width, box[3] * canvas.height];
  pen.fillStyle = "rgba(0, 0, 0, .5)";
  pen.beginPath();
  pen.rect(0, 0, canvas.width, canvas.height);
  pen.rect(left, top, right - left, bottom - top);
  pen.fill("evenodd");
  pen.strokeStyle = "#14b8a6";
  pen.lineWidth = 3;
  pen.strokeRect(left, top, right - left, bottom - top);
}

function send() {
  clearTimeout(timer);
  timer = null;
  if (!picture) return;
  props.value = JSON.stringify({ turn: turn(), box });
  trigger("input");
}
function sendSoon() { clearTimeout(timer); timer = setTimeout(send, 250); }

function place(event) {
  const shown = canvas.getBoundingClientRect();
  return [within((event.clientX - shown.left) / shown.width), within((event.clientY - shown.top) / shown.height)];
}

function quarter(by) {
  quarters = (quarters + by + 4) % 4;
  if (box) box = by > 0 ? [1 - box[3], box[0], 1 - box[1], box[2]] : [box[1], 1 - box[2], box[3], 1 - box[0]];
  paint();
  send();
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button > 0 || !picture) return;
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  start = place(event);
  before = box;
});
canvas.addEventListener("pointermove", (event) => {
  if (!start) return;
  const [x, y] = place(event);
  box = [Math.min(start[0], x), Math.min(start[1], y), Math.max(start[0], x), Math.max(start[1], y)];
  paint();
});
for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => {
  if (!start) return;
  start = null;
  // A click, or nearly so, chooses the whole picture again.
  if (!box || box === before || box[2] - box[0] < LEAST || box[3] - box[1] < LEAST) box = null;
  paint();
  if (box || before) send();
});
canvas.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
  if (event.key === "Escape") box = null;
  else if (by && !box) box = [.25, .25, .75, .75];
  else if (by && event.shiftKey) box = [box[0], box[1], within(Math.max(box[0] + LEAST, box[2] + by[0])), within(Math.max(box[1] + LEAST, box[3] + by[1]))];
  else if (by) {
    const width = box[2] - box[0], height = box[3] - box[1];
    const left = within(box[0] + by[0], 1 - width), top = within(box[1] + by[1], 1 - height);
    box = [left, top, left + width, top + height];
  } else return;
  event.preventDefault();
  paint();
  sendSoon();
});
range.addEventListener("input", () => { paint(); sendSoon(); });
element.querySelector("[data-do=left]").addEventListener("click", () => quarter(-1));
element.querySelector("[data-do=right]").addEventListener("click", () => quarter(1));
element.querySelector("[data-do=whole]").addEventListener("click", () => {
  box = null;
  quarters = 0;
  range.value = 0;
  paint();
  send();
});

function show() {
  let given = null;
  try { given = JSON.parse(props.value).picture; } catch { return; }
  if (!given) return;  // numbers of our own
  const loaded = new Image();
  loaded.onload = () => {
    picture = loaded;
    quarters = 0;
    range.value = 0;
    box = null;
    paint();
  };
  loaded.src = given;
}
watch("value", show);
show();
