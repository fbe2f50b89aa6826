() => {
  // Typing anything goes into the label under review, so that one need not reach for the mouse.
  document.addEventListener("keydown", (event) => {
    const field = document.querySelector("#true-label input, #true-label textarea");
    if (!field || field.offsetParent === null || event.altKey) return;
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (typing && typing !== field) return;
    const press = (id) => { event.preventDefault(); document.querySelector(id)?.click(); };
    const empty = field.value === "";
    const command = event.ctrlKey || event.metaKey;
    if (command) { if (event.key.toLowerCase() === "z" && empty) press("#undo"); return; }
    if (typing) return;
    const pressing = event.target.closest?.("button, a, summary, [role=tab]");
    if (pressing && (event.key === "Enter" || event.key === " ")) return;
    if (event.key === "Enter") press("#accept");
    else if (event.key === "u" || event.key === "U") press("#undo");
    else if (event.key === "ArrowRight") press("#skip");
    else if (event.key === "Delete") press("#not-character");
    else if (event.key.length === 1 && event.key !== " ") field.focus();
  });
}
