// Runs in gr.HTML with `element`, `props`, `trigger` and `watch`. The server gives some fields at a time, and more
// as one comes near their end, so that going on never waits; what goes back is the text that a person accepts.
const root = element.querySelector(".queue"), item = element.querySelector(".queue-item");
const name = element.querySelector(".queue-name b"), form = element.querySelector(".queue-name span");
const picture = element.querySelector("img"), input = element.querySelector("input");
const others = element.querySelector(".queue-others"), problem = element.querySelector(".problem");
const said = element.querySelector(".queue-said"), title = element.querySelector(".queue-title");
const onward = element.querySelectorAll("[data-do=accept], [data-do=on], [data-do=show]");
let queue = null, items = new Map(), total = 0, waiting = 0, at = 0, typed = false, anyway = false, asked = null;

const send = (message) => post(queue, message);

function count() {
  title.textContent = waiting ? `Fields to check: ${waiting.toLocaleString("en")}` : "All fields are checked";
  said.textContent = at < total ? `${(at + 1).toLocaleString("en")} of ${total.toLocaleString("en")}${items.get(at)?.settled ? ", checked" : ""}`
    : waiting ? `This was the last one; ${waiting.toLocaleString("en")} before it are not checked.` : "The table that you download has these texts.";
}

function paint(focus) {
  const one = items.get(at);
  item.hidden = at >= total;
  for (const button of onward) button.hidden = at >= total;
  element.querySelector("[data-do=back]").disabled = at === 0;
  problem.hidden = true;
  typed = anyway = false;
  count();
  if (at >= total) {  // the keys go on working
    if (focus) root.focus({ preventScroll: true });
    return;
  }
  if (!one) {  // on its way
    input.value = "";
    if (asked !== at) send({ do: "want", item: (asked = at) });
    return;
  }
  name.textContent = one.field;
  form.textContent = `in ${one.form}`;
  picture.src = one.picture || "data:,";
  picture.hidden = !one.picture;
  picture.alt = `${one.field}, as it is on the scan`;
  input.value = one.text;
  others.replaceChildren(...one.others.map(([text, sure]) => {
    const button = document.createElement("button"), label = document.createElement("bdi"), share = document.createElement("small");
    button.type = "button";
    label.textContent = text;
    share.textContent = sure && ` ${sure}`;
    button.append(label, share);
    button.addEventListener("click", () => { input.value = text; typed = true; accept(); });
    return button;
  }));
  if (focus) { input.focus({ preventScroll: true }); input.select(); }
  const ahead = Math.min(total - 1, at + 3);
  if (!items.has(ahead) && asked !== ahead) send({ do: "want", item: (asked = ahead) });
}

function go(to, focus = true) {
  at = Math.max(0, Math.min(total, to));
  paint(focus);
}

function accept() {
  const one = items.get(at);
  if (!one) return;
  one.text = input.value.trim();
  if (!one.settled) waiting -= 1;
  one.settled = true;
  send({ do: "accept", item: at, text: one.text, anyway });
  go(at + 1);
}

input.addEventListener("input", () => { typed = true; anyway = false; problem.hidden = true; });
root.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const pressing = event.target.closest?.("button");
  if (event.key === "Enter" && !pressing) accept();
  else if (event.key === "ArrowDown" || (event.key === "ArrowRight" && !(typed && event.target === input))) go(at + 1);
  else if (event.key === "ArrowUp" || (event.key === "ArrowLeft" && !(typed && event.target === input))) go(at - 1);
  else return;
  event.preventDefault();
  event.stopPropagation();
});
element.querySelector("[data-do=accept]").addEventListener("click", accept);
element.querySelector("[data-do=back]").addEventListener("click", () => go(at - 1));
element.querySelector("[data-do=on]").addEventListener("click", () => go(at + 1));
element.querySelector("[data-do=show]").addEventListener("click", () => send({ do: "show", item: at }));

function show() {
  let given = null;
  try { given = JSON.parse(props.value); } catch { return; }
  if (!("total" in given)) return;  // what this page sent itself
  answered(given);
  root.hidden = !given.total;
  if (given.reading !== queue) { items = new Map(); queue = given.reading; asked = null; typed = false; }
  total = given.total;
  if (!total) return;
  const missing = !items.has(at);
  for (const [number, one] of Object.entries(given.items)) {
    if (items.has(Number(number)) || "picture" in one) items.set(Number(number), { ...items.get(Number(number)), ...one });
  }
  waiting = given.waiting;
  if ("at" in given) go(given.at, false);
  else if (given.problem) {
    at = given.problem.item;
    paint(root.contains(document.activeElement));
    input.value = given.problem.typed;
    input.select();
    problem.textContent = given.problem.text;
    problem.hidden = false;
    anyway = typed = true;
  } else if (missing && items.has(at)) paint(root.contains(document.activeElement));
  else count();
}
watch("value", show);
show();
