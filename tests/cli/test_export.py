"""`kalamos export`: what lands where, what is told, what is refused."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import kalamos
from kalamos.model_file import read_spec
from kalamos.zoo import model_path, render_card

if not all(map(find_spec, ("torch", "safetensors", "onnx", "onnxscript"))):  # not imported: each worker would
    pytest.skip("needs the extra 'train'", allow_module_level=True)

if TYPE_CHECKING:
    from kalamos.learn import Run


@pytest.fixture
def here(tiny_run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which holds the run `mine`."""
    shutil.copytree(tiny_run_folder, tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("form", "files", "opens"),
    [
        ("torchscript", ["mine.torchscript.pt"], "torch.jit.load('mine.torchscript.pt')"),
        ("full", ["mine.full.pt", "mine.full.pt.json"], "torch.load('mine.full.pt', weights_only=False)"),
        (
            "state-dict",
            ["mine.state-dict.pt", "mine.state-dict.pt.json"],
            "network.load_state_dict(torch.load('mine.state-dict.pt', weights_only=True))",
        ),
    ],
)
def test_a_run_in_a_format_lands_beside_it(
    command, here: Path, form: str, files: list[str], opens: str
) -> None:
    outcome = command("export", "mine", "-f", form)
    assert (outcome.code, outcome.err) == (0, "")
    assert re.fullmatch(
        rf"{re.escape(files[0])}: 86,218 parameters, \d+ kB, the same logits", outcome.rows[0]
    )
    assert outcome.rows[-1] == f"open with {opens}"
    assert names(here) == sorted(["mine", *files])


def test_int8_from_a_run_and_from_a_model(command, here: Path, digits_folder: Path, tiny_model: Path) -> None:
    told = command("export", "mine", "--int8", "--data-dir", digits_folder)
    assert (told.code, told.err) == (0, "")
    assert re.fullmatch(r"mine\.int8\.onnx: 86,218 parameters, 1\d\d kB \(float: 35\d kB\)", told.rows[0])
    assert re.fullmatch(
        r"int8 by \w+: \d+\.\d\d% accuracy on 30 validation images, in float \d+\.\d\d%", told.rows[1]
    )
    assert re.fullmatch(r"the same answer for \d+\.\d\d%, logits within 0\.\d+", told.rows[2])
    assert told.rows[3:] == [
        "temperature 1.000, not fitted: 30 validation images are fewer than 100",
        "licence: not stated; choose one with --licence",
        "open with kalamos.load('mine.int8.onnx')",
    ]
    spec = kalamos.load("mine.int8.onnx").spec
    assert spec.name == "mine"

    # The split made again from the spec's recipe is the one that the run kept.
    shutil.copy(tiny_model, "tiny.onnx")
    assert command("export", "tiny.onnx", "--int8", "--data-dir", digits_folder).code == 0
    assert read_spec("tiny.int8.onnx").name == "tiny"
    assert read_spec("tiny.int8.onnx").quantisation == spec.quantisation
    assert names(here) == ["mine", "mine.int8.onnx", "tiny.int8.onnx", "tiny.onnx"]

    refused = command("export", "mine.int8.onnx", "-f", "pt2")
    assert (refused.code, refused.out) == (1, b"")
    assert "mine.int8.onnx: its weights are int8" in refused.err


def test_a_shipped_model_lands_in_the_current_folder(command, here: Path) -> None:
    import torch

    before = model_path("digits").read_bytes()
    outcome = command("export", "digits", "-f", "state-dict")
    assert (outcome.code, outcome.err) == (0, "")
    assert names(here) == ["digits.state-dict.pt", "digits.state-dict.pt.json", "mine"]
    assert "head.weight" in torch.load("digits.state-dict.pt", weights_only=True)
    assert model_path("digits").read_bytes() == before


def test_the_output_names_the_model(command, here: Path) -> None:
    assert command("export", "mine", "-f", "full", "-o", "نسخة.full.pt").code == 0
    assert '"name":"نسخة"' in Path("نسخة.full.pt.json").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["none"], 1, "none: has no run.json; give the folder that `kalamos train` wrote"),
        (["none.onnx"], 2, "none.onnx: no such model file"),
        (["digit", "-f", "pt2"], 2, "no model is called 'digit'; did you mean 'digits'?"),
        (["digits"], 2, "digits: already an onnx model; quantise it (--int8), or choose another format (-f)"),
        (["mine", "-o", "mine.bin"], 2, "mine.bin: the file's name has to end in .onnx; call it mine.onnx"),
        (["mine", "--int8", "-o", "mine.pt"], 2, "mine.pt: the file's name has to end in .onnx"),
        (["mine", "-f", "full", "-o", "mine.onnx"], 2, "mine.onnx: the file's name has to end in .pt"),
        (["mine", "-f", "pt2", "-o", "mine"], 2, "it is a folder"),
        (["mine", "--licence", " "], 2, "is not the name of a licence; give an SPDX identifier"),
        (["mine", "-f", "pt2", "--int8"], 2, "int8 is for onnx, not for pt2"),
        (["mine", "-f", "onx"], 2, "'onx' is not one of"),
        (["mine", "-o", "scan.png"], 2, "scan.png: this is an image; name another file after -o"),
        (["mine", "-f", "full", "-o", "mine/run.json"], 2, "mine/run.json: this is a file of the run"),
        (["mine", "-f", "full", "-o", "mine/run"], 2, "mine/run.json: this is a file of the run"),
        (["mine", "-f", "state-dict", "-o", "mine/model.safetensors"], 2, "this is a file of the run"),
        (["mine", "-f", "full", "-o", "absent/mine.pt"], 2, "there is no folder 'absent'"),
        (["mine", "-f", "full", "-o", "mine"], 2, "it is a folder"),
        (["copy.onnx", "--int8", "-o", "copy.onnx"], 2, "copy.onnx: this is the very model"),
        (["copy.onnx", "--int8", "--data-dir", "absent"], 2, "there is no absent/mnist/train-images"),
        (["text.onnx", "-f", "pt2"], 2, "text.onnx: not an ONNX model"),
        (["text.onnx", "--int8"], 2, "text.onnx: not an ONNX model"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_written(
    command, here: Path, arguments: list[str], code: int, told: str
) -> None:
    shutil.copy(model_path("digits"), "copy.onnx")
    Path("text.onnx").write_text("no model")
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    outcome = command("export", *arguments)
    assert (outcome.code, outcome.out) == (code, b"")
    assert told in outcome.err
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


def test_the_help_warns_of_the_pickle(command) -> None:
    page = " ".join(command("export", "--help").out.decode().split())
    assert "load only what you made yourself" in page
    assert "0.05 points" in page


def test_a_licence_is_stated_where_it_was_chosen(command, here: Path, digits_folder: Path) -> None:
    assert "licence: not stated; choose one with --licence" in command("export", "mine", "-o", "a.onnx").rows
    assert read_spec("a.onnx").licence == "NOASSERTION"
    assert "- **Licence**: not stated\n" in render_card(Path("a.onnx"))
    assert "licence: MIT" in command("export", "mine", "-o", "b.onnx", "--licence", "MIT").rows
    assert read_spec("b.onnx").licence == "MIT"
    again = ["--int8", "--licence", "CC0-1.0", "--data-dir", digits_folder, "-o", "c.onnx"]
    assert command("export", "b.onnx", *again).code == 0
    assert read_spec("c.onnx").licence == "CC0-1.0"


def test_a_temperature_from_few_images_is_not_taken(here: Path, tiny_run: Run) -> None:
    assert tiny_run.val_count < 100
    assert tiny_run.temperature == 1  # nor fitted any more
    from kalamos.learn.export import from_run

    older = replace(tiny_run, temperature=0.084)
    spec = from_run(older, "older").spec
    assert (spec.temperature, spec.selective) == (1.0, None)
    many = replace(older, val_count=3000)
    assert from_run(many, "older").spec.temperature == 0.25
