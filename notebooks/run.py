"""Run the walkthrough from top to bottom and keep its outputs.

Usage: python notebooks/run.py [--data-dir DIR] [--quick] [-o FILE]

Without `-o` the notebook is saved in place, so that readers see the pictures without running it. What
is saved depends on the cells and the data alone: no times, no versions, nothing of the machine.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

# Builds the font cache where there is none yet; in the notebook, Matplotlib would say so among the outputs.
import matplotlib.font_manager  # noqa: F401
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from kalamos.utils.atomic_write import atomic_write

WALKTHROUGH = Path(__file__).parent / "walkthrough.ipynb"
CELL_SECONDS = 1800
LOCAL = re.compile(r"(?<![\w.:/])/\w[\w.-]*/|\b[A-Za-z]:\\|\b0x[0-9a-fA-F]{6,}")
"""An absolute path, or an object's address."""

PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")
"""Inside HTML; what may look like a path in it is none."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Run notebooks/walkthrough.ipynb and keep its outputs.")
    parser.add_argument("--data-dir", help="holds mnist; else KALAMOS_DATA, else the user's cache")
    parser.add_argument("--quick", action="store_true", help="on a subset, within a minute; needs -o")
    parser.add_argument("-o", "--output", type=Path, help="save here; in place where it is not given")
    options = parser.parse_args()
    if options.quick and options.output is None:
        parser.error("--quick would replace the real outputs; give -o FILE")
    if options.data_dir is not None:
        os.environ["KALAMOS_DATA"] = os.path.abspath(options.data_dir)  # noqa: PTH100  (keeps links)
    os.environ["KALAMOS_QUICK"] = "1" if options.quick else "0"
    notebook = nbformat.read(WALKTHROUGH, as_version=4)  # type: ignore[no-untyped-call]
    try:
        execute(notebook)
    except CellExecutionError as error:
        print(error, file=sys.stderr)
        return 1
    found = unfit(notebook)
    for problem in found:
        print(problem, file=sys.stderr)
    if not found:
        with atomic_write(options.output or WALKTHROUGH) as stream:
            stream.write(f"{nbformat.writes(notebook)}\n".encode())  # type: ignore[no-untyped-call]
    return 1 if found else 0


def execute(notebook: NotebookNode) -> None:
    """Run every cell, in place, in a fresh kernel of this Python.

    Raises:
        CellExecutionError: a cell raised.
    """
    with tempfile.TemporaryDirectory() as settings:
        os.environ["IPYTHONDIR"] = settings  # the user's start-up files take no part
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=CELL_SECONDS,
            record_timing=False,
            extra_arguments=["--log-level=ERROR"],  # it warns that local sockets are not encrypted
            coalesce_streams=True,  # how output is cut into pieces depends on the clock
            resources={"metadata": {"path": str(WALKTHROUGH.parent)}},
        )
        client.execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


def unfit(notebook: NotebookNode) -> list[str]:
    """What must not be kept: warnings, other words on standard error, and what is of this machine."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            text = _text(output)
            if output.get("name") == "stderr":
                found.append(f"cell {cell.id}: says on standard error: {text.strip()}")
            found += [f"cell {cell.id}: of this machine: {match}" for match in LOCAL.findall(text)]
    return found


def _text(output: dict[str, Any]) -> str:
    texts = [output.get("text", "")]
    texts += [value for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
    return PICTURE.sub("", "\n".join(texts))


if __name__ == "__main__":
    raise SystemExit(main())
