"""The folder of cut characters: safe names, a manifest that datasets read, and what people do to it."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos import load_dataset
from kalamos.errors import UsageError
from kalamos.sheets import LetterFolder
from kalamos.sheets.letters import class_folder

LABELS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=60
).filter(lambda text: text == text.strip())

NASTY = (
    *"AaßẞſsςσΣıiIİµμK-/*?|.", "E:I", "e:i", "..", "CON", "con", "Con", "nul.txt",
    "a.", "ss", "SS", "a~41", "A~41", "%41", "train",
    "\u0301", "\u212a", "क\u094d", "क\u094d\u200d", "👍", "\\", "a b", "漢" * 50, "漢" * 51,
)  # fmt: skip


def folded(name: str) -> str:
    """As file systems compare names that take case, and how letters are composed, for nothing."""
    upper = "".join(each.upper() if len(each.upper()) == 1 else each for each in name)
    return unicodedata.normalize("NFD", upper.casefold().replace("\u200d", ""))


def test_names_stay_apart_on_every_file_system() -> None:
    labels = {unicodedata.normalize("NFC", label) for label in NASTY}
    assert len({folded(class_folder(label)) for label in labels}) == len(labels)


@given(LABELS)
def test_names_are_names_everywhere(label: str) -> None:
    name = class_folder(label)
    assert not set(name) & set('/\\:*?"<>|')
    assert name[-1] not in ". "
    assert name[0] != "."
    assert len(name.encode()) <= 120
    assert name.partition(".")[0].lower() not in {"con", "prn", "aux", "nul", "com1", "lpt1"}


@given(st.lists(LABELS, min_size=2, max_size=2, unique_by=lambda label: unicodedata.normalize("NFC", label)))
def test_two_labels_have_two_names(labels: list[str]) -> None:
    one, other = map(class_folder, labels)
    assert folded(one) != folded(other)


def png(level: int = 0) -> bytes:
    import cv2
    import numpy as np

    return cv2.imencode(".png", np.full((8, 8), level, np.uint8))[1].tobytes()


def add(folder: LetterFolder, label: str, box: int, doubt: str | None = None) -> None:
    folder.add(
        png(),
        label=label,
        sheet="s, page 1",
        group="g",
        scan="a/ü b.jpg",
        box=box,
        digest="0123456789",
        doubt=doubt,
    )


@pytest.fixture
def letters(tmp_path: Path) -> LetterFolder:
    folder = LetterFolder(tmp_path / "letters")
    for number, label in enumerate(("A", "a", "E:I", "-", "A")):
        add(folder, label, number)
    add(folder, "a", 7, "crossed out")
    folder.save()
    return folder


def test_datasets_read_the_labels_of_the_manifest(letters: LetterFolder) -> None:
    for path in (letters.path, letters.path / "manifest.csv"):
        dataset = load_dataset(path)
        assert set(dataset.alphabet.labels) == {"A", "a", "E:I", "-"}
        assert len(dataset.train) == 5
        assert dataset.train.groups is not None
        assert not dataset.problems
    assert dataset.grouped_by == "group"


def test_images_beside_the_manifest_are_told(letters: LetterFolder) -> None:
    (letters.path / "a" / "by hand.png").write_bytes(png())
    [problem] = load_dataset(letters.path).problems
    assert "by hand.png" in str(problem)
    assert "not in manifest.csv" in str(problem)


def test_the_folder_is_added_to(letters: LetterFolder) -> None:
    again = LetterFolder(letters.path)
    assert again.known == {"0123456789"}
    add(again, "b", 9)
    again.save()
    assert len(LetterFolder(letters.path).rows) == 6
    assert len(LetterFolder(letters.path).doubtful) == 1


def test_what_a_person_moves_or_removes_is_followed(letters: LetterFolder) -> None:
    [doubtful] = letters.doubtful
    moved = letters.doubtful_path / doubtful["path"]
    moved.rename(letters.path / "a" / moved.name)
    (letters.path / letters.rows[0]["path"]).unlink()
    again = LetterFolder(letters.path)
    assert (again.taken_in, again.dropped) == (1, 1)
    again.save()
    assert len(load_dataset(letters.path).train) == 5
    assert not LetterFolder(letters.path).doubtful


def test_a_folder_of_other_images_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters" / "a").mkdir(parents=True)
    with pytest.raises(UsageError, match="holds files, and no manifest"):
        LetterFolder(tmp_path / "letters")
    (tmp_path / "letters" / "manifest.csv").write_text("path,label\na/1.png,a\n", encoding="utf-8")
    with pytest.raises(UsageError, match="it has no column"):
        LetterFolder(tmp_path / "letters")
