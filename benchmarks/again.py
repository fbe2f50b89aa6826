"""Run one command of kalamos twice in a process: on few images, then on many; time the second.

Usage: python benchmarks/again.py FEW MANY OUT
FEW and MANY are what `kalamos predict` takes; OUT is its table, beside which OUT.seconds gets the time that
MANY took. Start-up, which varies by more than a thousand images take, is over by then.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from kalamos.cli import cli


def main(few: str, many: str, out: str) -> None:
    for inputs in (few, many):
        started = time.perf_counter()
        try:
            cli(["predict", inputs, "-o", out, "-q"])
        except SystemExit as end:
            if end.code:
                raise
        Path(f"{out}.seconds").write_text(str(time.perf_counter() - started), "ascii")


if __name__ == "__main__":
    main(*sys.argv[1:])
