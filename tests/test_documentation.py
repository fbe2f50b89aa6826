"""What README.md, docs/*.md and docs/site/*.md show works as pasted: commands and Python blocks, in order.

Each page is pasted into a copy of the tree of its own. What a page marks, visibly, as *(downloads)*,
*(hours)*, *(your cluster)* or *(your fonts)* is left out, and nothing else; the list below has to name it
all. What is marked *(until Ctrl-C)* is a server: it runs until the next one is started or the page ends, and
what is pasted then asks it under the address that the page says.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")),
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "site").glob("*.md")),
)
NEEDED = (
    "README.md", "docs", "samples", "samples-form", "samples-pages", "samples-sheets", "recipes", "src",
    "pyproject.toml", "Makefile", "LICENSE",
)  # fmt: skip

LEFT_OUT = {
    "make demo": "installs: .ci/run runs it",
    ". .venv/bin/activate": "the tests run in the environment that make demo and make test made",
    "uvx --from . kalamos predict samples": "downloads",
    "pip install .": "downloads",
    "pip install '.[api]'": "downloads",
    "pip install '.[app]'": "downloads",
    "pip install '.[teach,fonts]'": "downloads",
    "pip install '.[train]'": "downloads",
    "kalamos predict s3://bucket/scans --engine ray --address auto -o s3://bucket/labels": "your cluster",
    "kalamos predict /shared/forms --engine ray --address 10.0.0.1:6379 -o labels.csv": "your cluster",
    "kalamos read /shared/pages --engine ray": "your cluster",
    "kalamos forms read /shared/form.toml /shared/scans --engine ray": "your cluster",
    "torchrun": "your cluster",
    "kalamos teach glyphs --chars": "your fonts",
    "kalamos teach glyphs --script": "your fonts",
    "kalamos teach greek.onnx": "your fonts",
}
"""What is not run, by how it begins, and why."""

USUAL_ADDRESS = "http://127.0.0.1:7860"

SECONDS = 600
"""For one command. Most take one; those that train or start a cluster take a minute on busy cores."""


class Block(NamedTuple):
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(*found) for found in re.findall(r"^```(sh|python)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    ]


def commands(block: str) -> list[tuple[str, str]]:
    r"""The command lines of a block, continued ones joined, each with its comment or that above it.

    >>> commands("# (hours) slow\nmake zoo \\\n-j 2\nkalamos app  # (until Ctrl-C)\n")
    [('make zoo  -j 2', '(hours) slow'), ('kalamos app', '(until Ctrl-C)')]
    """
    found = []
    above = ""
    for line in block.replace("\\\n", " ").splitlines():
        command, _, comment = (
            part.strip() for part in re.sub(r"(^|\s)#", "\0", line, count=1).partition("\0")
        )
        if command:
            found.append((command, comment or above))
            above = ""
        else:
            above = comment
    return found


def why_left_out(command: str) -> str | None:
    return next((why for begin, why in LEFT_OUT.items() if command.startswith(begin)), None)


def everything() -> list[tuple[str, str, str]]:
    return [
        (page, command, comment)
        for page in PAGES
        for language, text in blocks(page)
        if language == "sh"
        for command, comment in commands(text)
    ]


def test_there_is_something_to_paste() -> None:
    assert len(everything()) > 25
    assert {page for page, _, _ in everything()} >= {"README.md", "docs/teaching.md", "docs/cluster.md"}


@pytest.mark.parametrize(("page", "command", "comment"), everything())
def test_what_is_left_out_says_so_on_the_page(page: str, command: str, comment: str) -> None:
    marks = ("downloads", "hours", "your cluster", "your fonts")
    marked = re.match(rf"\(({'|'.join(marks)})\)", comment)
    why = why_left_out(command)
    assert bool(marked) == (why in marks), (command, comment, why)
    assert marked is None or marked[1] == why


def test_all_that_is_left_out_is_on_a_page() -> None:
    shown = [command for _, command, _ in everything()]
    assert [begin for begin in LEFT_OUT if not any(command.startswith(begin) for command in shown)] == []


@pytest.mark.long
@pytest.mark.skipif(os.name != "posix", reason="the blocks are for a POSIX shell")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_the_page_works_as_pasted(page: str, tmp_path: Path) -> None:
    for needed in ("torch", "gradio", "ray"):
        if not find_spec(needed):
            pytest.skip(f"needs everything that make test installs, and {needed} is not here")
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():  # other processes may be compiling what is in it
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, tmp_path / name)
    with Server() as server:
        for language, text in blocks(page):
            if language == "python":
                (tmp_path / "pasted.py").write_text(server.asked_by(text), encoding="utf-8")
                run([sys.executable, "pasted.py"], tmp_path, text)
                continue
            for command, comment in commands(text):
                if why_left_out(command) is not None:
                    continue
                if comment.startswith("(until Ctrl-C)"):
                    server.end()
                    server.start(command, tmp_path)
                else:
                    run(["bash", "-c", server.asked_by(command)], tmp_path, command)


def environment() -> dict[str, str]:
    """That of a shell after `. .venv/bin/activate`."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }


def run(command: list[str], folder: Path, shown: str) -> None:
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=SECONDS,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    # One of the samples is blank on purpose, and is told so: status 1.
    blank = done.returncode == 1 and " 1 failed" in done.stderr and "1 no ink" in done.stderr
    twice = done.returncode == 1 and " 2 failed" in done.stderr and "2 no ink" in done.stderr
    assert done.returncode == 0 or blank or twice, f"{shown}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


class Server:
    """What a page says to start, and to end with Ctrl-C."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._address = USUAL_ADDRESS

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.end()
        elif self._process is not None:
            self._process.kill()
            self._process.communicate()

    def start(self, command: str, folder: Path) -> None:
        port = ["--port", "0"]  # the usual one may be taken here
        self._process = subprocess.Popen(
            [*shlex.split(command), *port], cwd=folder, env=environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        said = re.search(r"http://127\.0\.0\.1:\d+", self._process.stdout.readline())
        assert said is not None, command
        self._address = said[0]

    def asked_by(self, text: str) -> str:
        """What a page says, with the address that the server has here."""
        return text.replace(USUAL_ADDRESS, self._address)

    def end(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        _, err = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, err
        assert "Traceback" not in err
        self._process = None
