from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import kalamos
from kalamos import helpers as module
from kalamos.helpers import ProcessPool
from kalamos.inputs import NamedImage
from kalamos.isolation.workers import Worker
from kalamos.predict_options import PredictOptions
from kalamos.predictions import Prediction
from kalamos.recognizer import _read_in_process
from kalamos.streaming import GilGate
from kalamos.zoo import model_path

SAMPLES = sorted(path for path in Path("samples").iterdir() if path.suffix in {".png", ".jpg"})
ITEMS = [
    *(NamedImage(f"x.zip/{turn}/{path.name}", path.read_bytes()) for turn in range(50) for path in SAMPLES),
    "absent.png",
]
started: list[Worker] = []


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Helpers are worth starting from the first chunk on."""

    class Counted(Worker):
        def __init__(self) -> None:
            super().__init__()
            started.append(self)

    started.clear()
    monkeypatch.setattr(module, "MIN_SPENT_SECONDS", 0.0)
    monkeypatch.setattr(module, "MAX_IMAGE_SECONDS", 1e6)
    monkeypatch.setattr(module, "MIN_IMAGE_SECONDS", 1e-9)
    monkeypatch.setattr(module, "Worker", Counted)
    yield
    # Whatever happened, none is left behind.
    assert all(not worker.alive for worker in started)


def rows(reader: kalamos.Recognizer, **options: object) -> list[Prediction]:
    return list(reader.predict_files(ITEMS, **options))  # type: ignore[arg-type]


def same(some: list[Prediction], others: list[Prediction]) -> bool:
    return [(repr(each), each.top) for each in some] == [(repr(each), each.top) for each in others]


@pytest.mark.usefixtures("_at_once")
def test_the_rows_are_the_same_bit_for_bit() -> None:
    reader = kalamos.load("digits")
    expected = rows(reader, charset="1 4 7", jobs=1)
    assert same(rows(reader, charset="1 4 7", jobs=3, processes=True), expected)
    assert len(started) == 2
    assert expected[-1].error is not None


@pytest.mark.usefixtures("_at_once")
def test_nothing_is_lost_with_a_helper_that_is_killed() -> None:
    reader = kalamos.load("digits")
    found, killed = [], False
    for at, row in enumerate(reader.predict_files(ITEMS, jobs=2, processes=True)):
        found.append(row)
        if at >= 70 and started and not killed:
            killed = True
            os.kill(started[0].pid, signal.SIGKILL)
    assert killed
    assert same(found, rows(reader, jobs=1))


@pytest.mark.usefixtures("_at_once")
def test_a_model_file_that_changed_meanwhile_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    shutil.copy(model_path("digits"), path)
    reader = kalamos.load(path)
    shutil.copy(model_path("latin-large"), path)
    assert same(rows(reader, jobs=2, processes=True), rows(kalamos.load("digits"), jobs=1))
    assert len(started) == 1


@pytest.mark.usefixtures("_at_once")
def test_where_none_can_be_started_threads_read_all(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = rows(kalamos.load("digits"), jobs=1)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert same(rows(kalamos.load("digits"), jobs=2, processes=True), expected)
    assert not started


@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize("options", [{"jobs": 1, "processes": True}, {"jobs": 2}])
def test_none_is_started_unasked(options: dict[str, object]) -> None:
    rows(kalamos.load("digits"), **options)
    assert not started


@pytest.mark.usefixtures("_at_once")
def test_who_leaves_early_leaves_none_behind() -> None:
    results = kalamos.load("digits").predict_files(ITEMS, jobs=2, processes=True)
    next(row for row in results if started)
    results.close()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("_at_once")
def test_a_module_of_the_current_folder_is_not_taken_for_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("numpy", "cv2", "pickle"):
        (tmp_path / f"{name}.py").write_text("open('been here', 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    reader = kalamos.load("digits")
    assert same(rows(reader, jobs=2, processes=True), rows(reader, jobs=1))
    assert len(started) == 1
    assert not (tmp_path / "been here").exists()


@pytest.mark.usefixtures("_at_once")
def test_what_cannot_be_sent_is_read_here() -> None:
    class Here(str):
        def __reduce__(self) -> tuple[object, ...]:
            raise TypeError("not to be sent")

    reader = kalamos.load("digits")
    items = [Here(str(path)) for path in SAMPLES] * 20
    assert same(
        list(reader.predict_files(items, jobs=2, processes=True)), list(reader.predict_files(items, jobs=1))
    )


@pytest.mark.parametrize(
    ("pace", "spent", "helped"),
    [(50e-6, 9.0, False), (1e-3, 0.1, False), (1e-3, 9.0, True), (30e-3, 9.0, False)],
    ids=["brief", "soon over", "crops", "photographs"],
)
def test_helpers_start_where_they_are_worth_it(pace: float, spent: float, helped: bool) -> None:
    gate, reader = GilGate(), kalamos.load("digits")
    gate.spent, gate.images = spent, round(spent / pace)
    where, sha256 = reader.model.where, reader.model.sha256
    with ProcessPool(_read_in_process, where, sha256, PredictOptions(top_k=1), max_workers=1) as pool:
        answers = pool.run([str(SAMPLES[0])], gate)
    assert (answers is not None) == helped
    if answers is not None:
        assert answers == [reader.predict_files([str(SAMPLES[0])], top_k=1).__next__()]
