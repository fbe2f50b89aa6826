"""Streams and their blocks: the same whenever they are read, whole chunks of the local engine."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from kalamos.cluster import streams
from kalamos.cluster.streams import Block, LocalStream, Stream, TableStream, blocks_of
from kalamos.errors import ImageNotFoundError, UsageError
from kalamos.inputs import InputSearch, NamedImage
from kalamos.inputs.item import is_large
from kalamos.recognizer import CHUNK
from kalamos.streaming import chunks_of


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
    monkeypatch.setattr(streams, "MAX_BLOCK_BYTES", 300_000)
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
