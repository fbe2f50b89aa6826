"""The walkthrough runs from top to bottom, and the committed file shows what a run of it shows."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import click
import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output

from kalamos.cli import cli
from kalamos.datasets import Dataset

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
SECTIONS = [
    "1. The data",
    "2. The network",
    "3. Training",
    "4. Predicting",
    "5. Results and feature maps",
    "6. The mistakes",
]


@pytest.fixture(scope="module")
def committed() -> NotebookNode:
    return nbformat.read(FOLDER / "walkthrough.ipynb", as_version=4)


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    spec = spec_from_file_location("run_walkthrough", FOLDER / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _run(*options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, FOLDER / "run.py", *options]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _printed(notebook: NotebookNode, cell_id: str) -> str:
    [cell] = [cell for cell in notebook.cells if cell.id == cell_id]
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def _check_outputs(notebook: NotebookNode) -> None:
    cells = _code(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell.outputs for cell in cells)
    assert {output.output_type for cell in cells for output in cell.outputs} <= {
        "stream",
        "display_data",
        "execute_result",
    }
    pictures = [cell.id for cell in cells for output in cell.outputs if "image/png" in output.get("data", {})]
    assert {"look", "curve", "seen", "maps", "confusion", "surest", "reliability"} <= set(pictures)


@pytest.mark.long
def test_runs_on_a_small_subset(mnist: Dataset, tmp_path: Path) -> None:
    before = (FOLDER / "walkthrough.ipynb").read_bytes()
    output = tmp_path / "quick.ipynb"

    result = _run("--quick", "-o", output)

    assert result.returncode == 0, result.stderr
    notebook = nbformat.read(output, as_version=4)
    _check_outputs(notebook)
    assert _printed(notebook, "setup") == "in a hurry: a part of the images\n"
    [accuracy] = re.findall(r"of 1,000 right: ([\d.]+)%", _printed(notebook, "evaluate"))
    assert float(accuracy) > 95
    assert (FOLDER / "walkthrough.ipynb").read_bytes() == before
    assert not [path for path in FOLDER.iterdir() if path.suffix not in {".ipynb", ".py"} and path.is_file()]


def test_a_cell_that_fails_is_told_and_nothing_saved(tmp_path: Path) -> None:
    result = _run("--quick", "--data-dir", tmp_path, "-o", tmp_path / "quick.ipynb")

    assert result.returncode == 1
    assert "DatasetError" in result.stderr
    assert not list(tmp_path.iterdir())


def test_the_real_outputs_are_not_replaced_by_quick_ones(tmp_path: Path) -> None:
    result = _run("--quick", "--data-dir", tmp_path)  # without data, so that a failure saves nothing either

    assert result.returncode == 2
    assert "-o FILE" in result.stderr


def test_has_the_six_sections(committed: NotebookNode) -> None:
    texts = [cell.source for cell in committed.cells if cell.cell_type == "markdown"]
    assert re.findall(r"^## (\d.*)$", "\n".join(texts), re.MULTILINE) == SECTIONS
    for section in SECTIONS:
        assert f"[{section[3:]}](#{section.replace(' ', '-')})" in texts[0]
    assert sum("> **Try.**" in text for text in texts) == len(SECTIONS)


def test_is_committed_with_the_outputs_of_a_full_run(committed: NotebookNode) -> None:
    _check_outputs(committed)
    assert _printed(committed, "setup") == "all of the images\n"
    assert "of 10,000 right" in _printed(committed, "evaluate")
    assert (FOLDER / "walkthrough.ipynb").stat().st_size < 600_000


def test_says_nothing_of_the_machine_that_ran_it(committed: NotebookNode, runner: ModuleType) -> None:
    assert runner.unfit(committed) == []
    assert committed.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert all(cell.metadata == {} for cell in committed.cells)
    text = "".join(str(cell.source) + str(_without_pictures(cell)) for cell in committed.cells)
    for path in (ROOT, Path.home(), Path(sys.prefix)):
        assert path == Path(path.anchor) or str(path) not in text


def _without_pictures(cell: NotebookNode) -> list[object]:
    return [
        [output.get("text"), {kind: v for kind, v in output.get("data", {}).items() if kind[:5] != "image"}]
        for output in cell.get("outputs", [])
    ]


@pytest.mark.parametrize(
    "output",
    [
        new_output("stream", name="stderr", text="UserWarning: beware\n"),
        new_output("stream", name="stdout", text="saved to /srv/ann/mine.onnx\n"),
        new_output("stream", name="stdout", text="saved to C:\\Users\\ann\n"),
        new_output("execute_result", data={"text/plain": "PosixPath('/srv/ann/mine.onnx')"}),
        new_output("display_data", data={"text/html": "<a href='/srv/ann'>"}),
        new_output("execute_result", data={"text/plain": "<Axes at 0x7f3b2c1d9e50>"}),
    ],
)
def test_what_is_of_this_machine_is_not_kept(output: NotebookNode, runner: ModuleType) -> None:
    [problem] = runner.unfit(new_notebook(cells=[new_code_cell("1", id="one", outputs=[output])]))
    assert problem.startswith("cell one: ")


def test_ordinary_outputs_are_kept(runner: ModuleType) -> None:
    outputs = [
        new_output(
            "stream", name="stdout", text="982 of 1,000 right; 3/4, and/or, https://kalamos.test/a/b\n"
        ),
        new_output("display_data", data={"text/plain": "<Figure size 1 x 2>", "image/png": "/srv/ann/"}),
    ]
    assert runner.unfit(new_notebook(cells=[new_code_cell("1", outputs=outputs)])) == []


def _shell_lines() -> list[str]:
    notebook = nbformat.read(FOLDER / "walkthrough.ipynb", as_version=4)
    blocks = [
        block
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for block in re.findall(r"```sh\n(.*?)```", cell.source, re.DOTALL)
    ]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("kalamos ")]


@pytest.mark.parametrize("line", _shell_lines())
def test_the_commands_it_shows_exist(line: str) -> None:
    command: click.Command | None = cli
    for word in shlex.split(line, comments=True)[1:]:
        assert command is not None
        if isinstance(command, click.Group):
            command = command.get_command(click.Context(command), word)
        elif word.startswith("-"):
            assert word in {name for parameter in command.params for name in parameter.opts}
    assert command is not None
    assert not isinstance(command, click.Group)
