"""A folder of part files: whole parts, in order, and a word when all are there.

URIs, with pyarrow's own filesystem for files.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kalamos.cluster.storage import (
    SUCCESS_FILE,
    PartFolder,
    find_tables,
    is_partitioned,
    is_uri,
    open_place,
    read_image,
)
from kalamos.errors import ImageNotFoundError, NoInkError, OutputError, UsageError
from kalamos.predictions import Candidate, Prediction

pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'cluster'")

ROWS = [
    Prediction("7", 0.998, (Candidate("7", 0.998), Candidate("1", 0.002)), "a.png"),
    Prediction(None, None, path="b.png", error=NoInkError("blank")),
]


@pytest.fixture(params=["path", "uri"])
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> PartFolder:
    folder = tmp_path / "new" / "labels"
    return PartFolder(str(folder) if request.param == "path" else folder.as_uri(), 5)


def test_which_outputs_are_folders_of_parts() -> None:
    assert [is_partitioned(name) for name in ("s3://b/x", "file:///x.parquet", "a/", "/a/b/")] == [True] * 4
    assert [is_partitioned(name) for name in (None, "a", "a.parquet", "-")] == [False] * 4


def test_parts_make_one_table_in_their_order(parts: PartFolder, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "labels"
    parts.prepare()
    parts.write(1, 0, ROWS[1:])
    parts.write(0, 11, ROWS[:1])
    parts.write(0, 2, ROWS)
    parts.write(0, 2, ROWS)  # once more, by the worker that took over
    parts.finish(3, 4)
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        SUCCESS_FILE,
        *(f"part-{name}.parquet" for name in ("00000-00000002", "00000-00000011", "00001-00000000")),
    ]
    assert json.loads((folder / SUCCESS_FILE).read_text()) == {"parts": 3, "rows": 4}
    table = pq.read_table(folder)
    assert table.column("path").to_pylist() == ["a.png", "b.png", "a.png", "b.png"]
    assert table.column("error").to_pylist() == [None, "blank", None, "blank"]
    assert table.column("top").to_pylist()[0] == [
        {"label": "7", "confidence": 0.998},
        {"label": "1", "confidence": 0.002},
    ]


def test_a_missing_part_is_told_and_nothing_is_called_complete(parts: PartFolder, tmp_path: Path) -> None:
    parts.prepare()
    parts.write(0, 0, ROWS)
    with pytest.raises(OutputError, match="wrote 2 parts, of which 1 are there; name a folder that all"):
        parts.finish(2, 4)
    assert not (tmp_path / "new" / "labels" / SUCCESS_FILE).exists()
    parts.discard()
    assert list((tmp_path / "new" / "labels").iterdir()) == []


def test_what_is_in_the_way_is_kept(parts: PartFolder, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "labels"
    folder.mkdir(parents=True)
    parts.prepare()  # an empty one is as good as none
    (folder / "notes").write_text("mine")
    with pytest.raises(OutputError, match="the folder is not empty; name a new or an empty folder"):
        parts.prepare()
    parts.discard()
    assert (folder / "notes").read_text() == "mine"
    (tmp_path / "new" / "labels" / "notes").unlink()
    folder.rmdir()
    folder.write_text("a file")
    with pytest.raises(OutputError, match="the parts need a folder, and this is a file"):
        parts.prepare()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (f"{tmp_path}/file/x", "gopher://host/x"):
        with pytest.raises(OutputError, match="cannot write "):
            PartFolder(place, 5).prepare()


pytest.importorskip("pyarrow", reason="needs the extra 'cluster'")


@pytest.mark.parametrize("path", ["a.png", "/a/b", "C:/x", "C:\\x", "-", "", "://x", "a/b://c", "*.png"])
def test_paths_are_no_uris(path: str) -> None:
    assert not is_uri(path)


@pytest.mark.parametrize("uri", ["s3://bucket/x", "file:///x", "hdfs://host:8020/x", "gs://b"])
def test_uris(uri: str) -> None:
    assert is_uri(uri)


def test_a_folder_s_tables_come_in_name_order_without_hidden_ones(tmp_path: Path) -> None:
    names = ["B.parquet", "a.parquet", "sub/c.parquet", "_SUCCESS", "_tmp/d.parquet", ".e.parquet", "f.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    base = tmp_path.as_uri()
    expected = [f"{base}/{name}" for name in ("a.parquet", "B.parquet", "sub/c.parquet")]
    assert find_tables(base) == find_tables(f"{base}/") == expected
    assert find_tables(f"{base}/a.parquet") == expected[:1]


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    base = tmp_path.as_uri()
    with pytest.raises(UsageError, match="no Parquet file in this folder"):
        find_tables(base)
    with pytest.raises(UsageError, match="no such file or folder"):
        find_tables(f"{base}/none")
    with pytest.raises(UsageError, match=r"cannot be opened .*; give a path, or file://"):
        open_place("gopher://host/x")


def test_an_image_or_why_not(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"abc")
    uri = f"{tmp_path.as_uri()}/a.png"
    assert read_image(uri) == (uri, b"abc")
    for missing in (f"{tmp_path.as_uri()}/b.png", "gopher://host/x"):
        name, error = read_image(missing)
        assert name == missing
        assert isinstance(error, ImageNotFoundError)
        assert str(error).startswith(f"{missing}: ")
