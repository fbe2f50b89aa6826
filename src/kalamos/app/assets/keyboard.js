// A list that one comes to with the Tab key stays closed until one asks for it (arrows, Enter, Space), and
// closed when one has left it: Gradio opens it on every focus, and hears the Tab key after the focus has gone.
(() => {
  let tabbed = false;
  const isList = (target) => target instanceof HTMLElement && target.matches("input[role=combobox]");
  const before = (name, react) => window.addEventListener(name, react, { capture: true });
  before("keydown", (event) => {
    tabbed = event.key === "Tab";
    if (isList(event.target) && ["Tab", "Shift", "Control", "Alt", "Meta"].includes(event.key)) event.stopImmediatePropagation();
  });
  before("pointerdown", ({ target }) => {
    tabbed = false;
    // A click on one that has the focus already gives it none, so it would stay closed.
    if (isList(target) && target === document.activeElement && target.ariaExpanded === "false") target.blur();
  });
  before("focus", (event) => {
    if (tabbed && isList(event.target)) event.stopImmediatePropagation();
  });
})();
