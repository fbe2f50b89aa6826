"""`kalamos predict --engine ray` on a cluster that runs, and on one of its own.

Streams and their blocks: the same whenever they are read, whole chunks of the local engine.

What a worker does with a block, in this process.
"""

from __future__ import annotations

import json
import pickle
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import psutil
import pyarrow as pa
import pytest
from pyarrow import parquet

from kalamos.cluster import (
    Block,
    BlockReader,
    LocalStream,
    Outcome,
    Stream,
    TableStream,
    WorkerConfig,
    _find_all_tables,
    blocks_of,
)
from kalamos.cluster.storage import PartFolder
from kalamos.errors import CorruptImageError, ImageNotFoundError, KalamosError, UsageError
from kalamos.inputs import InputSearch, Item, NamedImage
from kalamos.inputs.files import SkippedFiles
from kalamos.inputs.item import is_large
from kalamos.parallel import chunks_of
from kalamos.predict_options import PredictOptions
from kalamos.predictions import Prediction
from kalamos.recognizer import CHUNK, load
from kalamos.zoo import model_path

# Rows as they are, with every bit of their floats: the command rounds them.
READ = """
import pickle, sys
from kalamos.cluster import RayJob
from kalamos.cluster import WorkerConfig
from kalamos.zoo import model_path

path, address, target = sys.argv[1:]
config = WorkerConfig(model_path("digits").read_bytes())
with RayJob([path], config, jobs=2, address=address, block=512) as job, open(target, "wb") as file:
    for count, prediction in enumerate(job.predictions()):
        pickle.dump(prediction, file)
        if count == 1000:
            print("under way", flush=True)
"""


def workers_of(cluster) -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process(cluster.pid).children(recursive=True)
        if "MapBatches(_Worker)" in " ".join(process.cmdline())
    ]


def unpickled(path: Path) -> Iterator[Prediction]:
    with path.open("rb") as file:
        while file.peek(1):
            yield pickle.load(file)  # noqa: S301


def test_a_killed_worker_loses_nothing_and_every_bit_is_the_local_engine_s(
    cluster, environment, digits_20k: Path, tmp_path: Path
) -> None:
    target = tmp_path / "rows"
    run = subprocess.Popen(
        [sys.executable, "-c", READ, digits_20k, cluster.address, target],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    with run:
        assert run.stdout is not None
        assert run.stderr is not None
        assert run.stdout.readline() == b"under way\n", run.stderr.read().decode()
        [first, *_] = workers_of(cluster)
        first.kill()
        assert run.wait(300) == 0, run.stderr.read().decode()
        assert (run.stdout.read(), run.stderr.read()) == (b"", b"")
    assert not first.is_running()
    expected = load("digits").predict_files(InputSearch([str(digits_20k)]), jobs=1)
    count = failed = 0
    for ours, theirs in zip(unpickled(target), expected, strict=True):
        assert (ours.path, ours.label, ours.confidence, ours.top) == (
            *(theirs.path, theirs.label, theirs.confidence, theirs.top),
        )
        assert (type(ours.error), str(ours.error)) == (type(theirs.error), str(theirs.error))
        count, failed = count + 1, failed + (ours.error is not None)
    assert (count, failed) == (20_000, 100)


def test_tables_in_parts_out(cluster, kalamos, digits_20k: Path, tmp_path: Path) -> None:
    files = sorted(digits_20k.iterdir())[:6000]
    tables, labels = tmp_path / "tables", tmp_path / "labels"
    tables.mkdir()
    for index, size in enumerate((1000, 10, 4990)):
        content, files = [path.read_bytes() for path in files[:size]], files[size:]
        parquet.write_table(pa.table({"image": content}), tables / f"{index}.parquet", row_group_size=700)
    (tables / "3.parquet").write_bytes(b"PAR1\x15 and no more")
    common = ["--engine", "ray", "--address", cluster.address]
    done = kalamos("predict", tables.as_uri(), *common, "--jobs", 1, "-o", labels.as_uri())
    assert done.stderr.decode().startswith("6,001 images: 5,970 read, 0 abstained, 31 failed\n")
    assert (done.returncode, done.stdout) == (1, b"")
    assert json.loads((labels / "_SUCCESS").read_text()) == {"parts": 6, "rows": 6001}
    here = tmp_path / "here.parquet"
    kalamos("predict", tables / "*.parquet", "-o", here)
    theirs = parquet.read_table(here).to_pydict()
    for column in ("path", "error"):
        values = theirs[column]
        theirs[column] = [value and value.replace(str(tables), tables.as_uri()) for value in values]
    assert parquet.read_table(labels).to_pydict() == theirs
    again = kalamos("predict", tables.as_uri(), *common, "-o", f"{labels}/")
    assert again.returncode == 2
    assert "the folder is not empty; name a new or an empty folder" in again.stderr.decode()


def test_archives_and_lists_and_relative_paths(cluster, kalamos, digits_20k: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in digits_20k.iterdir())[:300]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names[:150]:
            archive.write(digits_20k / name, name)
    (tmp_path / "more").mkdir()
    for name in names[150:]:
        (tmp_path / "more" / name).hardlink_to(digits_20k / name)
    (tmp_path / "more" / "notes.txt").write_text("x")
    listed = "\n".join(f"more/{name}" for name in [*names[200:], "none.png"]).encode()
    arguments = ["predict", "a.zip", "more", "-", "-f", "jsonl"]
    here = kalamos(*arguments, cwd=tmp_path, input=listed)
    there = kalamos(*arguments, "--engine", "ray", "--address", cluster.address, cwd=tmp_path, input=listed)
    assert there.stdout == here.stdout
    assert here.stdout.count(b"\n") == 401
    said, expected = (run.stderr.decode().splitlines() for run in (there, here))
    assert [line for line in said if "images/s" not in line] == [
        line for line in expected if "images/s" not in line
    ]
    assert said[-2:] == ["skipped 1 file without an image extension:", "  1 text file (notes.txt)"]
    assert there.returncode == here.returncode == 1


def test_ctrl_c_ends_it_and_the_cluster_that_it_started(
    end_by_ctrl_c, digits_20k: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "labels"
    end_by_ctrl_c(
        *("predict", digits_20k, "--engine", "ray", "-o", f"{labels}/"),
        under_way=lambda: labels.is_dir() and any(labels.iterdir()),
    )
    assert list(labels.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.png", "--address", "127.0.0.1:1"], "--address is that of a Ray cluster; add --engine ray"),
        (
            ["x.png", "--engine", "ray", "--address", "127.0.0.1:1"],
            "no Ray cluster can be reached at 127.0.0.1:1",
        ),
        (["x.png", "--engine", "ray", "--show", "d"], "--show draws on this machine; leave out --engine ray"),
        (["file:///x.parquet", "y.png", "--engine", "ray"], "URIs and other paths in one run; name local"),
        (["file:///none.parquet", "--engine", "ray"], "file:///none.parquet: no such file or folder"),
        (["x.png", "--engine", "ray", "-m", "digit"], "no model is called 'digit'; did you mean 'digits'?"),
        (
            ["x.png", "--engine", "ray", "-f", "csv", "-o", "d/"],
            "d/: a folder of parts is Parquet; name a local",
        ),
        (["x.png", "--engine", "ray", "--charset", "abc"], "'a'"),
    ],
)
def test_refused_before_anything_starts(kalamos, tmp_path: Path, arguments: list[str], message: str) -> None:
    started = time.monotonic()
    done = kalamos("predict", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert time.monotonic() - started < 60
    assert list(tmp_path.iterdir()) == []


def test_a_port_where_something_else_listens(kalamos) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        done = kalamos("predict", __file__, "--engine", "ray", "--address", address)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().startswith(f"kalamos: no Ray cluster can be reached at {address} (")


def local(paths: Sequence[Path | str], stdin: Path | None = None) -> LocalStream:
    return LocalStream(tuple(map(str, paths)), None, str(Path.cwd()), None if stdin is None else str(stdin))


def items_of(blocks: Sequence[Block]) -> list[object]:
    return [item for block in blocks for item in block.items]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(500):
        (tmp_path / f"{index:03}.png").write_bytes(bytes(150_000 if index in {70, 71, 300} else 10))
    (tmp_path / "notes.txt").write_text("x")
    return tmp_path


@pytest.mark.parametrize("most", [1, 64, 100, 5000])
def test_blocks_are_whole_chunks_of_the_local_engine(folder: Path, most: int) -> None:
    stream = pickle.loads(pickle.dumps(local([folder])))  # noqa: S301
    blocks = list(blocks_of(stream, 3, most=most))
    chunks = list(chunks_of(InputSearch([str(folder)]), CHUNK, is_large))
    assert items_of(blocks) == [item for chunk in chunks for item in chunk]
    ends = {id(chunk[-1]): chunk[-1] for chunk in chunks}.values()
    assert all(block.items[-1] in ends for block in blocks if block.items)
    assert [(block.stream, block.number) for block in blocks] == [(3, n) for n in range(len(blocks))]
    assert [block.last for block in blocks] == [False] * (len(blocks) - 1) + [True]
    assert [block.passed_over.total for block in blocks] == [0] * (len(blocks) - 1) + [1]
    assert blocks == list(blocks_of(stream, 3, most=most)), "another reader would make others"
    if most == 1:
        assert [block.items for block in blocks if block.items] == chunks


def test_large_members_make_small_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kalamos.cluster.MAX_BLOCK_BYTES", 300_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for index in range(10):
            archive.writestr(f"{index}.png", bytes(140_000))
    blocks = list(blocks_of(local([tmp_path / "a.zip"]), 0))
    assert [len(block.items) for block in blocks] == [3, 3, 3, 1]


def test_a_stream_that_ends_with_a_block_has_an_empty_one_more(folder: Path) -> None:
    blocks = list(blocks_of(local(sorted(folder.glob("00*.png"))), 0, most=11))
    assert [(len(block.items), block.last) for block in blocks] == [(10, True)]
    blocks = list(blocks_of(local(sorted(folder.glob("0[0-6]*.png"))[:64]), 0, most=64))
    assert [(len(block.items), block.last) for block in blocks] == [(64, False), (0, True)]


def test_standard_input_is_read_from_a_file_again_and_again(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.write_text("a.png\nb.png\n")
    stream = local(["-"], saved)
    for _ in range(2):
        assert items_of(list(blocks_of(stream, 0))) == ["a.png", "b.png"]


def test_a_table_elsewhere_gives_what_it_gives_here(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="needs the extra 'cluster'")
    from pyarrow import parquet

    path = tmp_path / "scans.parquet"
    parquet.write_table(pa.table({"image": [b"1", None, b"3"] * 50}), path, row_group_size=40)
    here = list(InputSearch([str(path)]))
    there = items_of(list(blocks_of(TableStream(path.as_uri(), None), 0)))
    assert len(there) == 150
    for ours, theirs in zip(here, there, strict=True):
        assert isinstance(ours, NamedImage)
        assert isinstance(theirs, NamedImage)
        assert theirs.name == ours.name.replace(str(tmp_path), tmp_path.as_uri())
        assert str(theirs.content) == str(ours.content).replace(str(tmp_path), tmp_path.as_uri())


def test_a_table_that_cannot_be_read_is_a_row_or_is_refused(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="needs the extra 'cluster'")
    from pyarrow import parquet

    parquet.write_table(pa.table({"image": pa.array([], pa.binary())}), tmp_path / "empty.parquet")
    parquet.write_table(pa.table({"x": [1], "y": [2]}), tmp_path / "other.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1\x15 and no more")
    base = tmp_path.as_uri()

    def rows(stream: Stream) -> list[object]:
        return items_of(list(blocks_of(stream, 0)))

    for name in ("empty", "other"):
        with pytest.raises(UsageError, match=f"{name}.parquet: "):
            rows(TableStream(f"{base}/{name}.parquet", None))
    for name in ("empty", "other", "broken", "none"):
        uri = f"{base}/{name}.parquet"
        [member] = rows(TableStream(uri, None, alone=False))
        assert isinstance(member, NamedImage)
        assert member.name == uri
        assert str(member.content).startswith(f"{uri}: ")
    assert isinstance(member.content, ImageNotFoundError)


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
        passed_over.add(f"{place}.jxl")
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
    outcome = read(replace(READING, parts=PartFolder(str(tmp_path), 3)), items)
    assert outcome.predictions == []
    [part] = tmp_path.iterdir()
    assert part.name == "part-00004-00000002.parquet"
    assert pq.read_table(part).num_rows == outcome.summary.images == len(items)


def test_an_empty_block_is_no_part(tmp_path: Path) -> None:
    outcome = read(replace(READING, parts=PartFolder(str(tmp_path), 3)), [])
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


def test_a_table_that_is_not_there_is_a_row_among_others_and_refused_alone(tmp_path: Path) -> None:
    there, absent = (tmp_path / "a.parquet").as_uri(), (tmp_path / "b.parquet").as_uri()
    parquet.write_table(pa.table({"image": [b"x"]}), tmp_path / "a.parquet")
    assert _find_all_tables([absent, there]) == [there, absent]
    [row] = TableStream(absent, None, alone=False).search()[1]
    assert isinstance(row, NamedImage)
    assert isinstance(row.content, ImageNotFoundError)
    with pytest.raises(UsageError, match="no such file or folder"):
        _find_all_tables([absent, absent])
