"""One comparison, run whole: interrupted, repeated, with a system that fails."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import kalamos
from kalamos.datasets import Dataset, load_dataset
from kalamos.datasets.copies import copy_sets, drop_copies
from kalamos.datasets.splits import stratified_split
from kalamos.errors import UsageError
from kalamos.learn import EpochReport, Recipe
from kalamos.learn.compare import ComparisonCallback, compare, run_comparison, time_side_by_side
from kalamos.learn.compare.outcomes import Comparison
from kalamos.learn.compare.report import FILES, save_comparison
from kalamos.learn.compare.systems import SeededRun, System, assemble

if not find_spec("onnxscript"):  # not imported here: each worker would
    pytest.skip("needs the extra 'train'", allow_module_level=True)


class Diary(ComparisonCallback):
    """Notes what happens, and is interrupted after an epoch."""

    def __init__(self, until: tuple[str, int] | None = None) -> None:
        self.states: list[tuple[str, str]] = []
        self.epochs: list[int] = []
        self.measured: dict[str, float] = {}
        self.errors: list[str] = []
        self._until = until

    def on_member(self, system: System, member: SeededRun, state: str) -> None:  # noqa: ARG002
        self.states.append((system.name, state))

    def on_epoch(self, report: EpochReport) -> None:
        self.epochs.append(report.epoch)
        if (self.states[-1][0], report.epoch) == self._until:
            raise KeyboardInterrupt

    def on_measured(self, system: System, member: SeededRun, accuracy: float) -> None:  # noqa: ARG002
        self.measured[system.name] = accuracy

    def on_failure(self, system: System, member: SeededRun, error: Exception) -> None:  # noqa: ARG002
        self.errors.append(f"{system.name}: {error}")


@pytest.fixture(scope="module")
def pages(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset without an official test split: a folder a class."""
    folder = tmp_path_factory.mktemp("pages")
    for row, label in enumerate(digits.train.labels.tolist()):
        (folder / str(label)).mkdir(exist_ok=True)
        cv2.imwrite(str(folder / str(label) / f"{row:03}.png"), digits.train.images[row])
    return folder


@pytest.fixture(scope="module")
def story(pages: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("comparison") / "deep" / "here"
    common = Recipe(dataset=str(pages), epochs=2, batch_size=32, lr=0.01, val_fraction=0.2)
    recipes = [
        ("bad", replace(common, arch="cnn2", optimizer="sgd", lr=1e30)),
        ("tiny", replace(common, arch="kalamos_xs")),
        ("lazy", replace(common, arch="kalamos_xs", lr=1e-9)),
    ]
    systems = assemble(folder, recipes=recipes)
    first, second = Diary(until=("tiny", 1)), Diary()
    with pytest.raises(KeyboardInterrupt):
        run_comparison(str(pages), systems, folder, device="cpu", callback=first)
    found = run_comparison(str(pages), systems, folder, device="cpu", callback=second)
    return {"folder": folder, "first": first, "second": second, "found": found, "systems": systems}


def test_an_interrupted_comparison_goes_on_where_it_was(story: dict[str, Any]) -> None:
    assert story["first"].states == [("bad", "new"), ("tiny", "new")]
    assert story["second"].states == [("bad", "interrupted"), ("tiny", "interrupted"), ("lazy", "new")]
    assert story["second"].epochs == [2, 1, 2]


def test_a_system_that_fails_is_a_row_and_the_others_are_compared(story: dict[str, Any]) -> None:
    found: Comparison = story["found"]
    [(name, failure)] = found.failures
    assert name == "bad"
    assert "the loss became" in failure.message
    assert story["second"].errors == [f"bad: {failure.message}"]
    assert [(v.a, v.b) for v in found.verdicts] == [("tiny", "lazy")]
    bad, tiny, lazy = found.systems
    assert bad.measured == ()
    assert bad.speed is None
    assert tiny.speed is not None
    assert tiny.speed.ratio == 1.0
    assert lazy.speed is not None
    assert lazy.speed.quartiles[0] <= lazy.speed.milliseconds <= lazy.speed.quartiles[1]


def test_all_are_measured_on_what_they_held_out(story: dict[str, Any], pages: Path) -> None:
    found: Comparison = story["found"]
    dataset = load_dataset(pages)
    train, held_out = stratified_split(dataset.train.labels, 0.2, 42)
    # Some of the drawn digits are near copies of others: those are not measured on.
    rows = drop_copies(copy_sets(list(dataset.train.images)), train, held_out)
    assert 40 <= len(rows) < len(held_out) == 60
    assert (found.part, found.n) == ("held-out val", len(rows))
    held = dataset.train.take(rows)
    for system in found.systems[1:]:
        [member] = system.measured
        assert member.sha256 == held.sha256
        reader = kalamos.load(member.model)
        answers = [prediction.label for prediction in reader.predict_batch(list(held.images))]
        right = np.array(answers) == np.array(dataset.alphabet.labels)[held.labels]
        np.testing.assert_array_equal(member.correct, right)
        assert system.accuracy == story["second"].measured[system.name] == right.mean()
        assert (member.trainable, member.parameters) == (86_218, 86_218)
        assert member.file_bytes == member.model.stat().st_size
        assert len(member.epochs) == 2


def test_what_is_saved_is_what_was_found(story: dict[str, Any]) -> None:
    folder: Path = story["folder"]
    save_comparison(story["found"], folder)
    record = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    assert [system["accuracy"] for system in record["systems"]] == [
        None,
        *(system.accuracy for system in story["found"].systems[1:]),
    ]
    assert "tiny" in (folder / "comparison.md").read_text(encoding="utf-8")
    assert cv2.imread(str(folder / "comparison.png")) is not None
    assert {path.name for path in folder.iterdir()} == {
        *FILES, "bad-42", "tiny-42", "lazy-42", "tiny-42.onnx", "lazy-42.onnx",
    }  # fmt: skip


def test_compare_is_one_call(pages: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"epochs": 1, "batch_size": 64, "val_fraction": 0.2}
    found = compare(pages, arch=["cnn2", "kalamos_xs"], folder=tmp_path, device="cpu", **settings)
    assert [system.name for system in found.systems] == ["cnn2", "kalamos_xs"]
    assert not found.failures
    assert (tmp_path / "comparison.json").exists()
    with pytest.raises(UsageError, match="seed: not the same for all systems"):
        compare(pages, arch=["cnn2", "cnn3"], folder=tmp_path, seed=3)


def test_all_calls_are_timed_in_every_round_and_in_changing_order() -> None:
    made: list[int] = []
    calls = [lambda name=name: made.append(name) for name in range(3)]
    seconds = time_side_by_side(calls, rounds=20, block_seconds=1e-9)
    assert seconds.shape == (20, 3)
    assert (seconds > 0).all()
    # Two calls to get to know each, then in every round one unmeasured and one measured.
    rounds = np.array(made[6:]).reshape(20, 3, 2)
    assert (rounds[..., 0] == rounds[..., 1]).all()
    orders = {tuple(order) for order in rounds[..., 0].tolist()}
    assert len(orders) > 1
    assert all(sorted(order) == [0, 1, 2] for order in orders)


def test_short_calls_are_repeated_within_a_round() -> None:
    made: list[None] = []
    time_side_by_side([lambda: made.append(None)], rounds=2, block_seconds=0.001)
    assert len(made) > 50
