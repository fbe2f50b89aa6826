from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import kalamos
from kalamos.zoo import model_path, render_card

pytest.importorskip("onnx", reason="needs the extra 'teach'")

Command = Callable[..., Any]


@pytest.fixture
def crosses(tmp_path: Path) -> Path:
    """A folder of one class that `digits` does not have."""
    folder = tmp_path / "data" / "×"
    folder.mkdir(parents=True)
    for width in range(1, 6):
        page = np.full((60, 60), 255, np.uint8)
        cv2.line(page, (12, 12), (48, 48), 0, width)
        cv2.line(page, (48, 12), (12, 48), 0, width)
        cv2.imencode(".png", page)[1].tofile(folder / f"{width}.png")
    return tmp_path / "data"


def test_one_new_class(command: Command, crosses: Path, tmp_path: Path) -> None:
    new = tmp_path / "mine.onnx"
    done = command("teach", "digits", crosses, "-o", new)
    assert done.code == 0, done.err
    assert "11 classes, fine-tuned from digits on 5 examples" in done.out.decode()
    assert "new classes   1 of 1 (100.0%) held-out examples right" in done.out.decode()
    assert "the accuracy on those is not measured" in done.out.decode()
    assert kalamos.load(new).predict(crosses / "×" / "3.png").label == "×"
    assert kalamos.load(new).spec.name == "mine"


def test_in_json_with_a_problem(command: Command, crosses: Path, tmp_path: Path) -> None:
    (crosses / "×" / "6.png").write_bytes(b"no image")
    cv2.imencode(".png", np.full((20, 20), 255, np.uint8))[1].tofile(crosses / "×" / "7.png")
    done = command("teach", "digits", crosses, "-o", tmp_path / "a.onnx", "--holdout", "0", "-f", "json")
    assert done.code == 1
    told = json.loads(done.out)
    assert (told["new_labels"], told["examples"], told["after"]["accuracy"]) == (["×"], 5, None)
    assert [problem["where"] for problem in told["problems"]] == ["×/6.png", "×/7.png"]
    assert "  ×/6.png" in done.err
    assert "  ×/7.png: no ink" in done.err


def test_what_is_refused(command: Command, crosses: Path, tmp_path: Path) -> None:
    model = tmp_path / "old.onnx"
    model.write_bytes(model_path("digits").read_bytes())
    done = command("teach", model, crosses, "-o", model, "--force")
    assert (done.code, done.out) == (2, b"")
    assert "stays as it is" in done.err
    there = tmp_path / "there.onnx"
    there.write_bytes(b"mine")
    done = command("teach", "digits", crosses, "-o", there)
    assert done.code == 2
    assert "--force" in done.err
    assert there.read_bytes() == b"mine"
    done = command("teach", "digits", tmp_path / "nothing", "-o", tmp_path / "b.onnx")
    assert done.code == 2
    assert "no such file or folder" in done.err
    (tmp_path / "empty" / "a").mkdir(parents=True)
    done = command("teach", "digits", tmp_path / "empty", "-o", tmp_path / "b.onnx")
    assert done.code == 2
    assert "no example that can be read" in done.err
    assert not (tmp_path / "b.onnx").exists()


@pytest.mark.parametrize("name", ["mine.bin", "mine", "mine.onnx.txt", "mine.pt"])
def test_a_model_s_file_is_called_onnx(command: Command, crosses: Path, tmp_path: Path, name: str) -> None:
    done = command("teach", "digits", crosses, "-o", tmp_path / name)
    assert done.code == 2
    assert f"{name}: a model's file has a name that ends in .onnx; call it mine" in done.err
    assert not (tmp_path / name).exists()


def test_no_licence_is_stated_that_nobody_chose(command: Command, crosses: Path, tmp_path: Path) -> None:
    done = command("teach", "digits", crosses, "-o", tmp_path / "a.onnx", "--holdout", "0")
    assert "licence: not stated; choose one with --licence" in done.out.decode()
    assert "that of `digits`, which this model was taught from" in done.out.decode()
    card = render_card(tmp_path / "a.onnx")
    assert "- **Licence**: not stated (made from `digits`: Apache-2.0)\n" in card
    done = command(
        "teach", "digits", crosses, "-o", tmp_path / "B.ONNX", "--holdout", "0", "--licence", "MIT"
    )
    assert "licence: MIT" in done.out.decode()
    assert kalamos.load(tmp_path / "B.ONNX").spec.licence == "MIT"


def test_glyphs_reads_the_folder_alone_and_says_what_to_expect(command: Command, tmp_path: Path) -> None:
    _letters(tmp_path / "letters", "TL", hands=4)
    new, sheet = tmp_path / "mine.onnx", tmp_path / "sheet.html"
    done = command("teach", "glyphs", tmp_path / "letters", "-o", new, "--sheet", sheet)
    assert done.code == 0, done.err
    assert "classes: L T" in done.out.decode()
    assert "4 hands left out in turn, told by the last number of the file names" in done.out.decode()
    assert kalamos.load(new).labels == ("L", "T")
    assert sheet.read_text("utf-8").count("<img ") == 8


def test_shapes_come_from_fonts_where_there_is_no_folder(command: Command, tmp_path: Path) -> None:
    pytest.importorskip("fontTools", reason="needs the extra 'fonts'")
    import matplotlib as mpl

    font = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    done = command("teach", "glyphs", "--chars", "αβ γ𓀀", "--font", font, "-o", tmp_path / "greek.onnx")
    assert done.code == 1  # one character is in no font
    assert "classes: α β γ" in done.out.decode()
    assert "no hand taught it" in done.out.decode()
    assert "no font has this character" in done.err
    assert "No hand taught it" in command("models", tmp_path / "greek.onnx").out.decode()


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("letters", "--chars", "ab"),
        ("--chars", "ab", "--script", "Greek"),
        ("letters", "--font", "."),
        ("--chars", " "),
        ("--script", "Klingon"),
    ],
)
def test_one_source_of_shapes_is_asked_for(command: Command, given: tuple[str, ...], tmp_path: Path) -> None:
    done = command("teach", "glyphs", *given, "-o", tmp_path / "a.onnx")
    assert done.code == 2
    assert not list(tmp_path.glob("*.onnx"))


FACES = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_PLAIN)


def _letters(folder: Path, letters: str, hands: int) -> None:
    """Letters of other faces, pens and slants, so that no hand is a near copy of another."""
    for letter in letters:
        (folder / letter).mkdir(parents=True)
        for hand in range(hands):
            page = np.full((70, 70), 255, np.uint8)
            size = 3.4 if FACES[hand] == cv2.FONT_HERSHEY_PLAIN else 1.6
            cv2.putText(page, letter, (16, 55), FACES[hand], size, 0, 2 + hand, cv2.LINE_AA)
            slant = np.array([[1, 0.25 * (hand % 3 - 1), -9 * (hand % 3 - 1)], [0, 1, 0]])
            page = cv2.warpAffine(page, slant, (70, 70), borderValue=255)
            cv2.imwrite(str(folder / letter / f"hand-{hand:02d}.png"), page)
