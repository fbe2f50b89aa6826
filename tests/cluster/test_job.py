"""`kalamos predict --engine ray` on a cluster that runs, and on one of its own."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
from pyarrow import parquet

from kalamos.inputs import InputSearch
from kalamos.predictions import Prediction
from kalamos.recognizer import load

# Rows as they are, with every bit of their floats: the command rounds them.
READ = """
import pickle, sys
from kalamos.cluster.job import RayJob
from kalamos.cluster.worker import WorkerConfig
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
    environment, digits_20k: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "labels"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run = subprocess.Popen(
            [sys.executable, "-m", "kalamos", "predict", digits_20k, "--engine", "ray", "-o", f"{labels}/"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with run:
        assert run.stderr is not None
        started: set[psutil.Process] = set()
        while run.poll() is None and not (labels.is_dir() and any(labels.iterdir())):
            started.update(psutil.Process(run.pid).children(recursive=True))
            time.sleep(0.05)
        started.update(psutil.Process(run.pid).children(recursive=True))
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to the whole group
        assert run.wait(60) == 130, run.stderr.read().decode()
        assert run.stderr.read() == b""
    assert len(started) > 3, "a head, a node and workers were expected"
    _, alive = psutil.wait_procs(started, timeout=20)
    assert alive == []
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
