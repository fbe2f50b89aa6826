// A picture pasted anywhere under "Read one" or "Read a page or form", or an example that is clicked, goes where one
// would drop it. A paste asks for no permission, which the button does. Runs from the head: one may paste before
// Gradio has built the page.
(() => {
  const soon = async (selector) => {
    for (let tries = 0; tries < 300; tries++) {
      const found = document.querySelector(selector);
      if (found) return found;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  const give = async (file) => {
    (await soon("#sources [role=tab]:nth-of-type(2)"))?.click();
    (await soon("#picture [aria-label='Upload file']"))?.click();
    // That has thrown away a picture that was there, but not at once.
    put(await soon("#picture:not(:has(img)) input[type=file]"), file);
  };
  const givePage = async (file) => {
    document.querySelector("#page-files [aria-label=Clear]")?.click();
    put(await soon("#page-files:not(:has([aria-label=Clear])) input[type=file]"), file);
  };
  const put = (input, file) => {
    if (!input) return;
    const given = new DataTransfer();
    given.items.add(file);
    input.files = given.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((each) => each.type.startsWith("image/"));
    const isSeen = (id) => (document.querySelector(id)?.offsetParent ?? null) !== null;
    const take = isSeen("#page-files") ? givePage : isSeen("#answer") || !document.querySelector("#answer") ? give : null;
    if (!file || !take) return;
    event.preventDefault();
    take(file);
  });
  document.addEventListener("click", (event) => {
    const example = event.target.closest?.("[data-example]");
    if (!example) return;
    const [head, content] = example.querySelector("img").src.split(";base64,");
    const bytes = Uint8Array.from(atob(content), (each) => each.charCodeAt(0));
    give(new File([bytes], example.dataset.example, { type: head.slice("data:".length) }));
  });
})();
