// Runs in gr.HTML with `element`, `props`, `trigger` and `watch`. The server gives a picture with its boxes, and
// later what is new about some of them; what goes back is what a person says of one box.
const root = element.querySelector(".viewer"), frame = element.querySelector(".viewer-picture");
const zoom = element.querySelector(".viewer-zoom"), said = element.querySelector(".viewer-said");
const candidates = element.querySelector(".viewer-candidates"), input = element.querySelector("input");
const nothing = element.querySelector("[data-do=nothing]"), reset = element.querySelector("[data-do=reset]");
const SVG = "http://www.w3.org/2000/svg";
let shown = null, groups = [], selected = null;

function make(name, attributes = {}, parent = null) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent?.append(made);
  return made;
}

function bounds(box) {
  const xs = box.corners.map((corner) => corner[0]), ys = box.corners.map((corner) => corner[1]);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

function words(box) {
  if (box.tick) return box.label ? "ticked" : "not ticked";
  if (box.label === "") return "blank";
  if (box.label === null) return box.checked ? "not a character" : "not sure";
  return box.checked ? `${box.label}, by you` : box.sure ? `${box.label}, ${box.sure} sure` : box.label;
}

function kind(box) {
  if (box.checked) return "checked";
  if (box.label === null) return "withheld";
  return box.doubtful ? "doubtful" : box.label === "" ? "blank" : "sure";
}

function dress(at) {
  const box = shown.boxes[at], [group, polygon, text] = groups[at];
  group.setAttribute("class", `box ${kind(box)}${at === selected ? " selected" : ""}`);
  polygon.setAttribute("aria-label", `${box.place}: ${words(box)}`);
  polygon.setAttribute("aria-pressed", String(at === selected));
  text.textContent = box.tick ? "" : box.label ?? "?";
}

function paint() {
  const size = { viewBox: `0 0 ${shown.width} ${shown.height}` };
  const svg = make("svg", { ...size, role: "group", "aria-label": `${shown.name}: ${shown.boxes.length} boxes` });
  make("image", { href: shown.picture, width: shown.width, height: shown.height }, svg);
  groups = shown.boxes.map((box, at) => {
    const [left, top, right, bottom] = bounds(box), group = make("g", {}, svg);
    const points = box.corners.map((corner) => corner.join(",")).join(" ");
    const polygon = make("polygon", { points, role: "button", tabindex: at ? -1 : 0, "data-box": at }, group);
    // Above its box; in the corner of a cell, as others are above that.
    const height = Math.max(shown.width / 90, (shown.cells ? 0.34 : 0.42) * (bottom - top));
    const x = shown.cells ? left + 0.45 * height : (left + right) / 2, y = shown.cells ? top + height : Math.max(height, top - 0.12 * height);
    const text = make("text", { x, y, "font-size": height, "aria-hidden": true }, group);
    return [group, polygon, text];
  });
  groups.forEach((_, at) => dress(at));
  svg.style.width = `min(100%, ${(110 * shown.width / shown.height).toFixed(2)}vh)`;
  frame.replaceChildren(svg);
}

function enlarge(box) {
  const [left, top, right, bottom] = bounds(box), side = Math.max(right - left, bottom - top), rim = 0.5 * side;
  const edge = side + 2 * rim, x = (left + right - edge) / 2, y = (top + bottom - edge) / 2;
  zoom.setAttribute("viewBox", `${x} ${y} ${edge} ${edge}`);
  const image = make("image", { href: shown.picture, width: shown.width, height: shown.height });
  const outline = make("polygon", { points: box.corners.map((corner) => corner.join(",")).join(" ") });
  zoom.replaceChildren(image, outline);
}

function tell() {
  const box = selected === null ? null : shown.boxes[selected];
  root.classList.toggle("chosen", box !== null);
  candidates.replaceChildren();
  if (!box) { said.textContent = ""; zoom.replaceChildren(); return; }
  enlarge(box);
  said.textContent = `${box.place}: ${words(box)}`;
  const choices = box.tick ? [["x", "ticked"]] : box.candidates;
  for (const [label, sure] of choices) {
    const button = document.createElement("button"), name = document.createElement("bdi"), share = document.createElement("small");
    button.type = "button";
    name.textContent = box.tick ? "Ticked" : label;
    share.textContent = box.tick ? "" : ` ${sure}`;
    button.append(name, share);
    button.setAttribute("aria-pressed", String(box.label === label));
    button.addEventListener("click", () => say("label", label));
    candidates.append(button);
  }
  nothing.textContent = box.tick ? "Not ticked" : box.blank ? "Nothing is written" : "Not a character";
  reset.disabled = !box.checked;
  input.parentElement.hidden = box.tick;
  input.value = "";
}

function select(at, focus = true) {
  const before = selected;
  selected = at;
  if (before !== null && groups[before]) { dress(before); groups[before][1].setAttribute("tabindex", -1); }
  if (at !== null) {
    dress(at);
    for (const [, polygon] of groups) polygon.setAttribute("tabindex", -1);
    groups[at][1].setAttribute("tabindex", 0);
    if (focus) groups[at][1].focus();
  }
  tell();
}

// Shown at once; the server's answer says how it is.
function say(what, label = "") {
  if (selected === null) return;
  const box = shown.boxes[selected];
  if (what === "reset" && !box.checked) return;
  if (what !== "reset") {
    box.label = what === "label" ? label : box.blank ? "" : null;
    box.checked = true;
    dress(selected);
  }
  tell();
  post(shown.reading, { view: shown.view, box: selected, do: what, label });
}

// The nearest box up or down whose middle lies in that direction.
function nearest(at, sign) {
  const middle = (box) => { const [left, top, right, bottom] = bounds(box); return [(left + right) / 2, (top + bottom) / 2, bottom - top]; };
  const [x, y, height] = middle(shown.boxes[at]);
  let best = at, least = Infinity;
  shown.boxes.forEach((box, other) => {
    const [ox, oy] = middle(box), down = sign * (oy - y);
    if (other === at || down < 0.5 * height) return;
    const far = down + 2 * Math.abs(ox - x);
    if (far < least) [best, least] = [other, far];
  });
  return best;
}

frame.addEventListener("click", (event) => {
  const at = event.target.closest?.("[data-box]")?.dataset.box;
  select(at === undefined ? null : Number(at));
});
frame.addEventListener("focusin", (event) => {
  const at = event.target.closest?.("[data-box]")?.dataset.box;
  if (at !== undefined && Number(at) !== selected) select(Number(at), false);
});
frame.addEventListener("keydown", (event) => {
  if (selected === null || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const last = shown.boxes.length - 1, on = () => select(Math.min(last, selected + 1));
  const go = { ArrowRight: () => on(), ArrowLeft: () => select(Math.max(0, selected - 1)), Home: () => select(0), End: () => select(last),
    ArrowDown: () => select(nearest(selected, 1)), ArrowUp: () => select(nearest(selected, -1)), Enter: on,
    Delete: () => say("nothing"), Backspace: () => say("reset"), Escape: () => select(null) }[event.key];
  if (go) go();
  else if (event.key === " ") say(shown.boxes[selected].tick && shown.boxes[selected].label ? "nothing" : "label", shown.boxes[selected].tick ? "x" : " ");
  else if ([...event.key].length === 1) { say("label", shown.boxes[selected].tick ? "x" : event.key); on(); }
  else return;
  event.preventDefault();
  event.stopPropagation();
});
input.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.isComposing || !input.value) return;
  event.preventDefault();
  say("label", input.value);
});
nothing.addEventListener("click", () => say("nothing"));
reset.addEventListener("click", () => say("reset"));

function show() {
  let given = null;
  try { given = JSON.parse(props.value); } catch { return; }
  answered(given);
  if (given.update) {
    if (given.reading !== shown?.reading || given.view !== shown.view) return;
    for (const [at, news] of Object.entries(given.update)) { Object.assign(shown.boxes[at], news); dress(Number(at)); }
    if (selected !== null && selected in given.update && document.activeElement !== input) tell();
  } else if ("picture" in given) {
    root.hidden = !given.picture;
    selected = null;
    shown = given.picture ? given : null;
    if (shown) { paint(); tell(); }
  }
}
watch("value", show);
show();
