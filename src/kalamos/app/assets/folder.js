// Runs in gr.HTML with `element` and `props`. A whole folder, chosen or dropped, is given to the field for files:
// its images, under their paths in the folder. What else lies in it is counted and stays where it is.
const input = element.querySelector("input"), said = element.querySelector("[role=status]");

const soon = async (selector) => {
  for (let tries = 0; tries < 100; tries++) {
    const found = document.querySelector(selector);
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
};

const isImage = (path) => props.endings.some((ending) => path.toLowerCase().endsWith(ending));
const isHidden = (path) => path.split("/").some((part) => part.startsWith("."));
const few = (count, what) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;

async function give(found) {
  const seen = found.filter(([path]) => !isHidden(path)), images = seen.filter(([path]) => isImage(path));
  const others = seen.length - images.length;
  const passed = others ? `; skipped ${few(others, "file")} without an image extension` : "";
  said.textContent = images.length ? `${few(images.length, "image")} in the folder${passed}.` : `No image found in this folder${passed}.`;
  if (!images.length) return;
  document.querySelector("#files [aria-label=Clear]")?.click();
  const target = await soon("#files:not(:has([aria-label=Clear])) input[type=file]");
  if (!target) return;
  const given = new DataTransfer();
  // A name is cut at its slashes on the way; the server reads these as slashes.
  for (const [path, file] of images) given.items.add(new File([file], path.replaceAll("/", "\u2044"), { type: file.type }));
  target.files = given.files;
  target.dispatchEvent(new Event("change", { bubbles: true }));
}

element.querySelector("button").addEventListener("click", () => { input.value = ""; input.click(); });
input.addEventListener("change", () => give([...input.files].map((file) => [file.webkitRelativePath || file.name, file])));

// A dropped folder comes as entries, which are walked through.
async function walk(entry, found) {
  const path = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) found.push([path, await new Promise((resolve, reject) => entry.file(resolve, reject))]);
  if (!entry.isDirectory) return;
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const each of some) await walk(each, found);
  }
}
document.querySelector("#files")?.addEventListener("drop", async (event) => {
  const entries = [...(event.dataTransfer?.items ?? [])].map((each) => each.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((each) => each.isDirectory)) return;
  event.preventDefault();
  event.stopPropagation();
  const found = [];
  for (const each of entries) await walk(each, found);
  give(found);
}, { capture: true });
