from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import gradio as gr
import numpy as np
import pytest

from kalamos import load
from kalamos.app.batching import ModelRegistry
from kalamos.app.errors import Limits
from kalamos.app.page.context import Context
from kalamos.app.page.corrections import save_correction, slug, undo_correction
from kalamos.app.page.review_tab import Taught, lesson_html, taught_file, teach_visit
from kalamos.app.page.session import SavedExample, Session
from kalamos.datasets import load_dataset
from kalamos.errors import UsageError
from kalamos.finetune import Score
from kalamos.predictions import Candidate, Prediction
from kalamos.zoo import model_path

GUESS = Prediction("7", 0.6, (Candidate("7", 0.6), Candidate("1", 0.4)))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(ModelRegistry(["digits"]), Limits(), tmp_path / "kept here", gr.State(), gr.Dropdown())


FACES = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
)


def _png(text: str, angle: float, hand: int = 0) -> bytes:
    """A letter; other hands have other faces, sizes and pens, so that none is a near copy of another."""
    page = np.full((80, 80), 255, np.uint8)
    face, size, pen = FACES[hand % len(FACES)], 1.5 + 0.13 * (hand % 5), 3 + 2 * (hand % 3)
    cv2.putText(page, text, (20, 62), face, size, 0, pen, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((40, 40), angle, 1)
    page = cv2.warpAffine(page, turn, (80, 80), borderValue=255)
    return cv2.imencode(".png", page)[1].tobytes()


def _with_examples(folder: Path) -> Session:
    visit = Session()
    for at, text in enumerate(["A"] * 10 + ["3"] * 6):
        image = folder / f"{at}.png"
        image.write_bytes(_png(text, 5 * (at % 7) - 15, at))
        visit.kept.append(SavedExample("digits", text, image))
    return visit


def test_a_new_letter_is_learnt_and_the_old_model_stays_as_it_is(context: Context, tmp_path: Path) -> None:
    before = model_path("digits").read_bytes()
    visit, told = _with_examples(tmp_path), []
    taught = teach_visit(context, visit, "digits", "", earlier=False, on_progress=told.append)
    assert taught.name == "digits-taught"
    assert taught.lesson.new_labels == ("A",)
    assert told[-1] == 1
    assert visit.reader(context.registry, "digits-taught").predict(_png("A", 1)).label == "A"
    [file] = context.corrections_dir.rglob("*.onnx")
    assert load(file).labels[-1] == "A"
    assert taught_file(visit) == (file.name, file.read_bytes())
    assert model_path("digits").read_bytes() == before
    assert "digits-taught" not in context.registry
    shown = lesson_html(taught)
    assert "from 16 examples" in shown
    assert "<th>Right before</th><th>Right after</th>" in shown
    # Taught once more, it takes the next name; a name that is there is refused before anything is learnt.
    again = teach_visit(context, visit, "digits-taught", "", earlier=False)
    assert again.name == "digits-taught-2"
    with pytest.raises(UsageError, match="already"):
        teach_visit(context, visit, "digits", "digits", earlier=False)


def test_one_example_held_back_is_no_percentage() -> None:
    def shown(*scores: tuple[int, int, int, int]) -> str:
        before, after = (Score(*score) for score in scores)
        lesson = SimpleNamespace(n=5, new_labels=("A",), before=before, after=after, problems=())
        return lesson_html(Taught("mine", lesson, "here/mine.onnx"))  # type: ignore[arg-type]

    one = shown((0, 0, 0, 1), (0, 0, 1, 1))
    assert "1 of 1 held-back example read right; before, 0 of 1." in one
    assert "%" not in one
    few = shown((2, 3, 0, 2), (3, 3, 2, 2))
    assert "<td>2 of 5</td><td>5 of 5</td>" in few
    assert "%" not in few
    assert "<td>18 of 20 (90 %)</td><td>20 of 20 (100 %)</td>" in shown((18, 20, 0, 0), (20, 20, 0, 0))
    assert "No example was held back" in shown((0, 0, 0, 0), (0, 0, 0, 0))


def test_there_must_be_something_to_learn_from(context: Context) -> None:
    for earlier in (False, True):
        with pytest.raises(UsageError):
            teach_visit(context, Session(), "digits", "", earlier=earlier)
    assert taught_file(Session()) == ("", None)
    assert not context.corrections_dir.exists()


def test_what_is_kept_is_a_dataset_at_once_and_undo_takes_the_last_of_its_place(context: Context) -> None:
    visit = Session()
    for place, label in (("review", "A"), ("review", "ط"), ("one", "B")):
        save_correction(context, visit, place, "digits", _png("A", 0), label, GUESS)
    folder = context.corrections_dir / "digits"
    assert load_dataset(folder).alphabet.labels == ("A", "B", "ط")
    assert (folder / "corrections.jsonl").read_text(encoding="utf-8").count('"7"') == 3
    undo_correction(context, visit, "review", visit.kept[1])
    assert load_dataset(folder).alphabet.labels == ("A", "B")
    assert [kept.label for kept in visit.kept] == ["A", "B"]
    visit.close()


@pytest.mark.parametrize(
    ("name", "folder"),
    [("digits", "digits"), ("../../etc", "etc"), ("خط", "خط"), ("a b.c", "a-b-c"), ("..", "model")],
)
def test_a_models_name_as_a_folders(name: str, folder: str) -> None:
    assert slug(name) == folder
    assert len(slug(name * 100)) <= 60
