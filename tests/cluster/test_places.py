"""URIs, with pyarrow's own filesystem for files."""

from __future__ import annotations

from pathlib import Path

import pytest

from kalamos.cluster.places import find_tables, is_uri, open_place, read_image
from kalamos.errors import ImageNotFoundError, UsageError

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
