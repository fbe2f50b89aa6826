"""Measure what an installation without extras takes on the disk, and which part of it reading touches.

    python benchmarks/install_size.py [--write]

Run it where the libraries are installed from wheels. The size of a library is that of the files that its
wheel brought; what is touched are the modules that are loaded, and the files mapped into memory, when
`kalamos predict` has read two samples in a process of its own (Linux).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import Distribution, distribution
from pathlib import Path

from figures import ROOT, machine, write
from packaging.requirements import Requirement

TRACED = """
import json, runpy, sys
sys.argv = ["kalamos", "predict", "--quiet", *sys.argv[2:]]
try:
    runpy.run_module("kalamos", run_name="__main__", alter_sys=True)
except SystemExit:
    pass
paths = {str(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())}
with open("/proc/self/maps") as maps:
    paths |= {line.split(maxsplit=5)[5].strip() for line in maps if line.count(" ") >= 5 and "/" in line}
print(json.dumps(sorted(paths)), file=sys.__stderr__)
"""

SAMPLES = ("0-pen.png", "2-photo.jpg")
"""A scan and a photograph."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--write", action="store_true", help="into docs/install.md")
    text = table(touched())
    if arguments.parse_args().write:
        write("install-size", text, ["docs/install.md"])
    print(text)


def touched() -> set[Path]:
    """The files that reading two samples loads."""
    samples = [str(ROOT / "samples" / name) for name in SAMPLES]
    done = subprocess.run(
        [sys.executable, "-c", TRACED, "-", *samples], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return {Path(path).resolve() for path in json.loads(done.stderr.splitlines()[-1]) if path}


def closure() -> Iterator[Distribution]:
    """The libraries that kalamos asks for without extras, and those that they ask for."""
    waiting, seen = [Requirement(each) for each in distribution("kalamos").requires or ()], set[str]()
    while waiting:
        wanted = waiting.pop()
        name = wanted.name.lower()
        if name in seen or (wanted.marker is not None and not wanted.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        found = distribution(name)
        yield found
        waiting += [Requirement(each) for each in found.requires or ()]


def table(needed: set[Path]) -> str:
    """The libraries, the largest first; those below a megabyte in one row."""
    rows = [("kalamos, its models and cards", *_sizes(_package_files(), needed))]
    small = [0, 0]
    for library in closure():
        size, used = _sizes(_files(library), needed)
        if size >= 10**6:
            rows.append((library.metadata["Name"], size, used))
        else:
            small = [small[0] + size, small[1] + used]
    rows.append(("smaller ones", *small))
    rows.sort(key=lambda row: -row[1])
    total, used = sum(row[1] for row in rows), sum(row[2] for row in rows)
    lines = [f"| {name} | {size / 1e6:.1f} | {part / 1e6:.1f} |" for name, size, part in rows]
    return "\n".join(
        [
            "| | installed, MB | of it touched to read a scan and a photograph |",
            "|---|---|---|",
            *lines,
            f"| **all** | **{total / 1e6:.0f}** | **{used / 1e6:.0f}** |",
            "",
            f"Measured by `python benchmarks/install_size.py --write` on {datetime.now(UTC):%Y-%m-%d}, "
            f"without compiled bytecode; {machine()}.",
        ]
    )


def _files(library: Distribution) -> list[Path]:
    paths = [Path(str(each.locate())) for each in library.files or ()]
    return [path for path in paths if path.is_file() and path.suffix != ".pyc"]


def _package_files() -> list[Path]:
    """Of kalamos itself: of its source, which may be installed as a link to it."""
    return [path for path in (ROOT / "src").rglob("*") if path.is_file() and path.suffix != ".pyc"]


def _sizes(paths: list[Path], needed: set[Path]) -> tuple[int, int]:
    """Bytes of all files, and of those that are touched."""
    sizes = {path.resolve(): path.stat().st_size for path in paths}
    # A model is read, and not mapped: two of them are, and the ink finder.
    models = {"digits.onnx", "ink.onnx"}
    return sum(sizes.values()), sum(
        size for path, size in sizes.items() if path in needed or path.name in models
    )


if __name__ == "__main__":
    main()
