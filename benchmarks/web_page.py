"""How soon the browser page answers: python benchmarks/web_page.py [KALAMOS.HTML], by default build/web's.

Measured within the page, with Chromium: from its opening to the answer to a stroke that was drawn at once,
and from the end of each further stroke to its answer.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from playwright.sync_api import Browser

STROKES: Final = 20

WARM_UP: Final = 5
"""Strokes until the script is compiled."""

OPENINGS: Final = 3

SCRIPT: Final = """
addEventListener("DOMContentLoaded", () => setTimeout(async () => {
  const pad = document.querySelector("#pad canvas"), columns = document.querySelector(".columns");
  const answers = [];
  const stroke = async width => {
    const box = pad.getBoundingClientRect();
    const send = (type, x, y) => pad.dispatchEvent(new PointerEvent(type, {
      pointerId: 1, bubbles: true, button: 0, pointerType: "mouse",
      clientX: box.left + x * box.width, clientY: box.top + y * box.height }));
    pad.setPointerCapture = () => undefined;
    send("pointerdown", 0.25, 0.25);
    for (let step = 1; step <= 20; step++) send("pointermove", 0.25 + 0.025 * step, 0.25);
    for (let step = 1; step <= 20; step++) send("pointermove", 0.75 - width * step, 0.25 + 0.03 * step);
    const ended = performance.now();
    const answered = new Promise(resolve => {
      const watch = new MutationObserver(() => {
        if (columns.dataset.state === "waiting") return;
        watch.disconnect();
        resolve(performance.now());
      });
      watch.observe(columns, { attributes: true, childList: true, subtree: true });
    });
    send("pointerup", 0.5, 0.85);
    return (await answered) - ended;
  };
  await stroke(0.012);
  const first = performance.now();
  for (let at = 0; at < STROKES; at++) {
    await new Promise(resolve => setTimeout(resolve, 100));
    answers.push(await stroke(0.008 + 0.0002 * at));
  }
  window.measured = { first, answers };
}));
"""


def measure(browser: Browser, page_file: Path) -> tuple[float, list[float]]:
    """Milliseconds from opening to the first answer, and from each stroke's end to its answer."""
    page = browser.new_page()
    page.set_default_timeout(300_000)
    page.add_init_script(SCRIPT.replace("STROKES", str(STROKES)))
    page.goto(page_file.resolve().as_uri())
    page.wait_for_function("() => window.measured")
    measured = page.evaluate("() => window.measured")
    page.close()
    return measured["first"], measured["answers"]


def main() -> None:
    page_file = Path(sys.argv[1] if len(sys.argv) > 1 else "build/web/kalamos.html")
    executable = os.environ.get("KALAMOS_BROWSER") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--headless=new", "--no-sandbox"]
        )
        opened = [measure(browser, page_file) for _ in range(OPENINGS)]
        browser.close()
    first = [each for each, _ in opened]
    strokes = [each for _, answers in opened for each in answers[WARM_UP:]]
    print(f"size: {page_file.stat().st_size / 1e6:.2f} MB")
    print(f"first answer: median {statistics.median(first):,.0f} ms, {min(first):,.0f} to {max(first):,.0f}")
    print(
        f"a stroke's answer: median {statistics.median(strokes):.0f} ms, "
        f"95 % within {sorted(strokes)[int(0.95 * len(strokes))]:.0f} ms, n = {len(strokes)}"
    )


if __name__ == "__main__":
    main()
