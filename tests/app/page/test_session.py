from __future__ import annotations

import copy
from pathlib import Path

import pytest

from kalamos import load
from kalamos.app.models import ModelRegistry
from kalamos.app.page.session import SavedExample, Session
from kalamos.errors import ModelNotFoundError


def test_two_visits_share_nothing() -> None:
    # Gradio copies the first value of a state for each visit.
    first = Session()
    mine, yours = copy.deepcopy(first), copy.deepcopy(first)
    assert mine.folder("sheet") != yours.folder("sheet")
    mine.own_models["mine"] = load("digits")
    assert yours.own_models == {}
    mine.close()
    yours.close()


def test_closing_takes_the_images_away_and_forgets_them() -> None:
    visit = Session()
    image = visit.folder("kept") / "a"
    image.write_bytes(b"a")
    visit.kept.append(SavedExample("digits", "7", image))
    visit.source = b"a"
    root = image.parent.parent
    visit.close()
    assert not root.exists()
    assert visit == Session()
    visit.close()


def test_a_new_folder_takes_the_place_of_the_last_and_leaves_what_was_kept() -> None:
    visit = Session()
    sheet, kept = visit.folder("sheet") / "a", visit.folder("kept") / "b"
    for path in (sheet, kept):
        path.write_bytes(b"a")
    visit.forget_sheet()
    assert not sheet.exists()
    assert kept.exists()
    visit.close()


def test_models_of_a_visit_come_after_the_shelfs_under_names_of_their_own() -> None:
    registry, visit, reader = ModelRegistry(["digits"]), Session(), load("digits")
    assert [visit.add_model(registry, name, reader) for name in ("digits", "x", "digits")] == [
        "digits-2",
        "x",
        "digits-3",
    ]
    assert visit.model_names(registry) == ["digits", "digits-2", "x", "digits-3"]
    assert visit.reader(registry, "x") is reader
    assert visit.reader(registry, "digits") is registry.get("digits")
    with pytest.raises(ModelNotFoundError):
        visit.reader(registry, "y")


def test_examples_go_with_the_model_that_they_began_with(tmp_path: Path) -> None:
    visit = Session()
    visit.taught_from = {"b": "a", "c": "b"}
    for model in ("a", "c", "z"):
        visit.kept.append(SavedExample(model, model, tmp_path))
    assert visit.origin("c") == "a"
    assert [kept.label for kept in visit.examples("b")] == ["a", "c"]
    assert [kept.label for kept in visit.examples("z")] == ["z"]
