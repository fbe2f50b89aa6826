"""What a worker does with a block, in this process."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from kalamos.cluster.parts import PartFolder
from kalamos.cluster.streams import Block
from kalamos.cluster.worker import BlockReader, Outcome, WorkerConfig
from kalamos.errors import CorruptImageError, KalamosError
from kalamos.inputs import Item, NamedImage
from kalamos.passed_over import SkippedFiles
from kalamos.predict_options import PredictOptions
from kalamos.recognizer import load
from kalamos.zoo import model_path

READING = WorkerConfig(model_path("digits").read_bytes(), PredictOptions(top_k=3))
SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(autouse=True)
def threads():
    """A worker's process is its own; this one is not."""
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


def some_passed_over() -> SkippedFiles:
    passed_over = SkippedFiles()
    for place in range(5):
        passed_over.add(f"{place}.heic")
    return passed_over


def block(items: list[Item]) -> Block:
    return Block(4, 2, items, last=True, passed_over=some_passed_over())


def read(config: WorkerConfig, items: list[Item]) -> Outcome:
    """As it comes and goes: pickled."""
    worker = BlockReader(pickle.loads(pickle.dumps(config)))  # noqa: S301
    outcome: Outcome = pickle.loads(pickle.dumps(worker.read(block(items))))  # noqa: S301
    return outcome


@pytest.fixture
def items() -> list[Item]:
    paths: list[Item] = sorted(map(str, SAMPLES.glob("*.png")))
    return [
        *paths,
        "none.png",
        NamedImage("a.zip/x", b""),
        NamedImage("b", CorruptImageError("b: torn", remedy="mend")),
    ]


def test_a_block_s_rows_are_those_of_the_local_engine(items: list[Item]) -> None:
    outcome = read(READING, items)
    assert outcome[:4] == (4, 2, True, some_passed_over())
    expected = list(load("digits").predict_files(items, top_k=3))
    for ours, theirs in zip(outcome.predictions, expected, strict=True):
        assert replace(ours, error=None) == replace(theirs, error=None)
        assert (type(ours.error), str(ours.error)) == (type(theirs.error), str(theirs.error))
    assert outcome.summary.images == len(items)


def test_options_travel(items: list[Item]) -> None:
    reading = replace(READING, options=PredictOptions(top_k=3, charset="1 2 3", min_confidence=0.9))
    expected = list(load("digits").predict_files(items[:5], top_k=3, charset="1 2 3", min_confidence=0.9))
    assert read(reading, items[:5]).predictions == expected


def test_parts_are_written_and_only_counts_come_back(items: list[Item], tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'cluster'")
    outcome = read(replace(READING, parts=PartFolder(str(tmp_path), 3, removed=False)), items)
    assert outcome.predictions == []
    [part] = tmp_path.iterdir()
    assert part.name == "part-00004-00000002.parquet"
    assert pq.read_table(part).num_rows == outcome.summary.images == len(items)


def test_an_empty_block_is_no_part(tmp_path: Path) -> None:
    outcome = read(replace(READING, parts=PartFolder(str(tmp_path), 3, removed=False)), [])
    assert outcome.summary.images == 0
    assert list(tmp_path.iterdir()) == []


def test_uris_are_fetched_where_paths_are_uris(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra 'cluster'")
    good, missing = (SAMPLES / "3-chalk.png").as_uri(), f"{tmp_path.as_uri()}/none.png"
    items: list[Item] = [good, NamedImage("a#1", (SAMPLES / "4-pencil.jpg").read_bytes()), missing] * 20
    rows = read(replace(READING, remote=True), items).predictions
    assert [row.label for row in rows] == ["3", "4", None] * 20
    assert [row.path for row in rows] == [good, "a#1", missing] * 20
    assert "no such file" in str(rows[-1].error)


def test_another_version_of_kalamos_does_not_read() -> None:
    with pytest.raises(KalamosError, match=r"a worker has kalamos .*, the command 0\.0\.0; install the same"):
        BlockReader(replace(READING, version="0.0.0"))
