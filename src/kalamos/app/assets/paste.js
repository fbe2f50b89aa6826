// A picture pasted anywhere under "Read one" goes where one would drop it. A paste asks for no permission,
// which the button does. Runs from the head: one may paste before Gradio has built the page.
(() => {
  const soon = async (selector) => {
    for (let tries = 0; tries < 300; tries++) {
      const found = document.querySelector(selector);
      if (found) return found;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  document.addEventListener("paste", async (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((each) => each.type.startsWith("image/"));
    if (!file || document.querySelector("#answer")?.offsetParent === null) return;
    event.preventDefault();
    (await soon("#sources [role=tab]:nth-of-type(2)"))?.click();
    (await soon("#picture [aria-label='Upload file']"))?.click();
    // That has thrown away a picture that was there, but not at once.
    const input = await soon("#picture:not(:has(img)) input[type=file]");
    if (!input) return;
    const given = new DataTransfer();
    given.items.add(file);
    input.files = given.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
})();
