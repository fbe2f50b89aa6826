"""Count the files that one photograph passes on its way to a CSV row, and the moves between them.

    python benchmarks/walk.py [IMAGE] [--source SRC]

Runs `kalamos predict IMAGE -f csv` in this process under `sys.setprofile`, and prints each file of kalamos
in which a function ran, in the order of the walk, with its functions and calls. Loading modules is not part
of the walk. `--source` walks through another checkout's `src`, for comparisons.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[1]


class Walk:
    """A profile function that notes the frames of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = f"{folder}{os.sep}"
        self._last = ""
        self.calls: Counter[str] = Counter()
        self.functions: set[tuple[str, int]] = set()
        self.moves = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(self._folder) or self._is_loading(frame):
            return
        name = code.co_filename.removeprefix(self._folder)
        self.calls[name] += 1
        self.functions.add((name, code.co_firstlineno))
        self.moves += name != self._last
        self._last = name

    def _is_loading(self, frame: FrameType | None) -> bool:
        """Tell whether a module of the folder is being loaded: its body, class bodies, decorators."""
        while frame is not None:
            if frame.f_code.co_name == "<module>" and frame.f_code.co_filename.startswith(self._folder):
                return True
            frame = frame.f_back
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", nargs="?", default=str(ROOT / "samples" / "2-photo.jpg"))
    parser.add_argument("--source", default=str(ROOT / "src"))
    asked = parser.parse_args()
    sys.path.insert(0, asked.source)
    import kalamos.cli

    walk = Walk(Path(kalamos.cli.__file__).parents[1])
    sys.argv = ["kalamos", "predict", asked.image, "-f", "csv", "-q"]
    threading.setprofile(walk)
    sys.setprofile(walk)
    with contextlib.suppress(SystemExit):
        kalamos.cli.main()
    sys.setprofile(None)
    for name, calls in walk.calls.items():
        print(f"{name:44}{sum(file == name for file, _ in walk.functions):4} functions{calls:6} calls")
    print(f"{len(walk.calls)} files, {len(walk.functions)} functions, {walk.moves} moves between files")


if __name__ == "__main__":
    main()
