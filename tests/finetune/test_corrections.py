from __future__ import annotations

import json
import multiprocessing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest

from kalamos.datasets import load_dataset
from kalamos.errors import AlphabetError, ImageError, OutputError, UsageError
from kalamos.finetune.corrections import Corrections
from kalamos.predictions import Candidate, Prediction

IMAGE = np.eye(12, dtype=np.uint8) * 255
GUESS = Prediction("1", 0.6, (Candidate("1", 0.6), Candidate("7", 0.3)))


def test_a_correction_is_on_the_disk_at_once(tmp_path: Path) -> None:
    when = datetime(2026, 3, 31, 12, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    entry = Corrections(tmp_path / "new" / "kept").add(IMAGE, "7", GUESS, when)
    folder = tmp_path / "new" / "kept"
    assert np.array_equal(cv2.imread(str(folder / entry.image), cv2.IMREAD_UNCHANGED), IMAGE)
    assert entry.image.startswith("7/20260331T100005-")
    [line] = (folder / "corrections.jsonl").read_text("utf-8").splitlines()
    told = json.loads(line)
    assert (told["label"], told["guess"], told["confidence"]) == ("7", "1", 0.6)
    assert told["time"] == "2026-03-31T10:00:05.000+00:00"


def test_it_is_a_dataset_as_it_is(tmp_path: Path) -> None:
    kept = Corrections(tmp_path)
    labels = ["ب", "/", "..", "con", "a b", "%2F", "é", "train", "100%"]
    for label in labels:
        kept.add(IMAGE, label)
    dataset = load_dataset(tmp_path)
    assert set(dataset.alphabet.labels) == set(labels)
    assert [problem.where for problem in dataset.problems] == ["corrections.jsonl"]
    assert set(kept.examples().labels) == set(labels)


def test_undo_takes_back_the_last_of_this_session(tmp_path: Path) -> None:
    mine, other = Corrections(tmp_path), Corrections(tmp_path)
    first, second = mine.add(IMAGE, "1"), mine.add(IMAGE, "2")
    theirs = other.add(IMAGE, "3")
    assert mine.undo() == second
    assert list(mine) == list(other) == [first, theirs]
    assert not (tmp_path / "2").exists()
    assert mine.undo() == first
    assert mine.undo() is None
    assert list(Corrections(tmp_path)) == [theirs]
    assert Corrections(tmp_path).undo() is None


def _add(folder: str, label: str) -> None:
    kept = Corrections(folder)
    for _ in range(20):
        kept.add(IMAGE, label)
        kept.add(IMAGE, label)
        kept.undo()


def test_two_sessions_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_add, args=(str(tmp_path), label)) for label in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(100)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert sorted(entry.label for entry in Corrections(tmp_path)) == ["a"] * 20 + ["b"] * 20
    assert len(list(tmp_path.glob("*/*.png"))) == 40


def test_half_a_line_and_foreign_lines_do_no_harm(tmp_path: Path) -> None:
    kept = Corrections(tmp_path)
    first = kept.add(IMAGE, "1")
    foreign = json.dumps({**first.__dict__, "image": "../../etc/passwd"})
    with (tmp_path / "corrections.jsonl").open("a", encoding="utf-8") as log:
        log.write(f'{foreign}\n[1]\n{{"image": 7, "label": "1"')
    second = kept.add(IMAGE, "2")
    assert list(Corrections(tmp_path)) == [first, second]
    (tmp_path / first.image).unlink()
    assert list(kept) == [second]


def test_what_the_model_did_not_say(tmp_path: Path) -> None:
    kept = Corrections(tmp_path)
    assert kept.add(IMAGE, "1").guess is None
    abstained = Prediction(None, 0.4, (Candidate("7", 0.4),), abstained=True)
    assert kept.add(IMAGE, "1", abstained).guess == "7"


@pytest.mark.parametrize("label", ["", "\n", "x" * 60])
def test_labels_that_cannot_be(tmp_path: Path, label: str) -> None:
    with pytest.raises(AlphabetError):
        Corrections(tmp_path).add(IMAGE, label)


def test_nothing_is_left_of_what_failed(tmp_path: Path) -> None:
    kept = Corrections(tmp_path / "kept")
    with pytest.raises(ImageError):
        kept.add(b"no image", "1")
    with pytest.raises(UsageError, match="time zone"):
        kept.add(IMAGE, "1", None, datetime.now(UTC).replace(tzinfo=None))
    assert not (tmp_path / "kept").exists()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "corrections.jsonl").mkdir()
    with pytest.raises(OutputError):
        kept.add(IMAGE, "1")
    assert list((tmp_path / "kept").glob("*/*.png")) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="is a file"):
        Corrections(tmp_path / "file")


def test_another_label_moves_the_image_and_adds_a_line(tmp_path: Path) -> None:
    kept = Corrections(tmp_path)
    first, other = kept.add(IMAGE, "1", GUESS), kept.add(IMAGE, "2")
    log = (tmp_path / "corrections.jsonl").read_bytes()
    moved = Corrections(tmp_path).relabel(first, "7", datetime(2026, 4, 1, tzinfo=UTC))
    assert (moved.label, moved.guess, moved.confidence) == ("7", "1", 0.6)
    assert moved.image == f"7/{Path(first.image).name}"
    assert list(kept) == [other, moved]
    assert sorted(path.parent.name for path in tmp_path.glob("*/*.png")) == ["2", "7"]
    assert (tmp_path / "corrections.jsonl").read_bytes().startswith(log)
    assert kept.relabel(moved, " 7 ") == moved


def test_there_and_back_is_one_correction(tmp_path: Path) -> None:
    kept = Corrections(tmp_path)
    first = kept.add(IMAGE, "1")
    nothing = kept.relabel(first, None)
    assert nothing.image.startswith(".not-characters/")
    back = kept.relabel(nothing, "1")
    assert back.image == first.image
    assert list(kept) == [back]


def test_a_correction_that_cannot_move_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Corrections(tmp_path)
    entry = kept.add(IMAGE, "1")
    with pytest.raises(AlphabetError):
        kept.relabel(entry, " ")
    with pytest.raises(UsageError, match="time zone"):
        kept.relabel(entry, "7", datetime.now(UTC).replace(tzinfo=None))
    (tmp_path / "7").write_bytes(b"a file where the folder should be")
    with pytest.raises(OutputError):
        kept.relabel(entry, "7")
    (tmp_path / "8").mkdir()
    (tmp_path / "8" / Path(entry.image).name).write_bytes(b"mine")
    with pytest.raises(OutputError, match="there already"):
        kept.relabel(entry, "8")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full)
        with pytest.raises(OutputError, match="No space"):
            kept.relabel(entry, "9")
    assert list(kept) == [entry]
    assert kept.relabel(entry, "9").label == "9"
    with pytest.raises(UsageError, match="not there any more"):
        kept.relabel(entry, "7")
