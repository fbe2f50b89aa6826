"""A folder of part files: whole parts, in order, and a word when all are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kalamos.cluster.parts import SUCCESS_FILE, PartFolder, is_partitioned
from kalamos.errors import NoInkError, OutputError
from kalamos.predictions import Candidate, Prediction

pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'cluster'")

ROWS = [
    Prediction("7", 0.998, (Candidate("7", 0.998), Candidate("1", 0.002)), "a.png"),
    Prediction(None, None, path="b.png", error=NoInkError("blank")),
]


@pytest.fixture(params=["path", "uri"])
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> PartFolder:
    folder = tmp_path / "new" / "labels"
    return PartFolder(str(folder) if request.param == "path" else folder.as_uri(), 5, removed=False)


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
            PartFolder(place, 5, removed=False).prepare()
