"""UNIPEN's own text files, written by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalamos.datasets import load_dataset
from kalamos.datasets.strokes import SPAN, read_strokes
from kalamos.datasets.unipen_release import _chosen, _read_page, main, read_release, write_strokes
from kalamos.errors import DatasetError

LIST = """.VERSION 1.0
.INCLUDE abc/abc.doc
.INCLUDE abc/data/one.dat
.SEGMENT CHARACTER 0-1 OK "T"
.SEGMENT CHARACTER 2 ? "1"
.SEGMENT CHARACTER 2 BAD "7"
.SEGMENT CHARACTER 3:1-3:2 OK "l"
.SEGMENT CHARACTER 9 OK "X"
.SEGMENT CHARACTER 2 OK "Ä"
.SEGMENT WORD 0-3 OK "T1l"
"""
ONE = """.WRITER_ID somebody
.COMMENT the table lies on its side
 .PEN_DOWN within a comment is none
.INCLUDE abc/data/axes.dat
.PEN_DOWN
 0 100 300
 1 200 300
.PEN_UP
 1 500 500
.PEN_DOWN
 2 150 300
 3 150 200
.PEN_UP
.PEN_DOWN 4 700 10
 5 700 110
 not a point
.PEN_UP
.PEN_DOWN
 6 0 0
 7 900 0
 8 900 50
"""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "train_r01_v07"
    (folder / "data/1b/abc").mkdir(parents=True)
    (folder / "include/abc/data").mkdir(parents=True)
    (folder / "data/1b/abc/one.dat").write_text(LIST, "latin-1")
    (folder / "include/abc/data/one.dat").write_text(ONE, "latin-1")
    (folder / "include/abc/data/axes.dat").write_text(".COORD T X Y\n", "latin-1")
    return folder


def test_segments_name_strokes_of_included_files(release: Path) -> None:
    strokes = read_release(release)
    assert strokes.labels == ("T", "1", "l")
    bar, stem = strokes.strokes(0)
    assert bar.tolist() == [[0, 0], [SPAN, 0]]
    assert stem.tolist() == [[500, 0], [500, SPAN]]
    [one] = strokes.strokes(1)
    assert one.tolist() == [[0, SPAN], [0, 0]]  # written upwards
    [part] = strokes.strokes(2)
    assert part.tolist() == [[0, SPAN], [0, 0]]


def test_the_dataset_reads_what_is_converted(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "data" / "unipen-train.npz"
    target.parent.mkdir()
    monkeypatch.setattr("sys.argv", ["unipen_release", str(release), "-o", str(target)])
    main()
    assert capsys.readouterr().out.startswith("3 characters of 1 writers: ")
    found = read_strokes(target)
    assert found.labels == ("T", "1", "l")
    dataset = load_dataset("unipen", target.parent)
    assert [dataset.alphabet.labels[label] for label in dataset.train.labels] == ["T", "1", "l"]


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kalamos.datasets.unipen_release", str(tmp_path), "-o", "x.npz"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("kalamos: ")
    assert "has no folder data" in done.stderr


def test_writers_are_told_apart(release: Path) -> None:
    (release / "data/1a/abc").mkdir(parents=True)
    (release / "data/1a/xyz").mkdir(parents=True)
    (release / "data/1a/abc/one.dat").write_text('.INCLUDE abc/data/one.dat\n.SEGMENT CHARACTER 2 OK "1"\n')
    (release / "data/1a/xyz/two.dat").write_text(
        '.PEN_DOWN\n1 2\n3 9\n.PEN_UP\n.SEGMENT CHARACTER 0 OK "1"\n'
    )
    strokes = read_release(release)
    assert strokes.labels == ("1", "1", "T", "1", "l")
    first, second, *others = strokes.writers.tolist()
    assert first != second
    assert {*others} == {first}


@pytest.mark.parametrize(
    ("delineation", "lengths"),
    [("0", [2]), ("0-1", [2, 3]), ("0,1", [2, 3]), ("0:1-1:0", [1, 1]), ("1:1-1:1", [1])]
    + [(wrong, []) for wrong in ("", "2", "1-0", "x", "0-", "0-5", "0,7")],
)
def test_delineations(delineation: str, lengths: list[int]) -> None:
    strokes = [np.zeros((2, 2)), np.zeros((3, 2))]
    assert [len(each) for each in _chosen(strokes, delineation)] == lengths


def test_files_may_not_include_themselves_for_ever_nor_leave_the_release(
    release: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret.dat").write_text(".PEN_DOWN\n1 1\n2 2\n")
    loop = release / "include/abc/data/loop.dat"
    loop.write_text(".INCLUDE abc/data/loop.dat\n.INCLUDE ../../secret.dat\n.PEN_DOWN\n1 1\n")
    page = _read_page(loop, release / "include")
    assert len(page.strokes) <= 10
    loop.write_text(".INCLUDE abc/data/loop.dat\n" * 40)
    assert _read_page(loop, release / "include").files < 60_000
    assert all(len(stroke) == 1 for stroke in page.strokes)


def test_a_folder_without_characters_is_refused(tmp_path: Path, release: Path) -> None:
    with pytest.raises(DatasetError, match="has no folder data"):
        read_release(tmp_path / "nothing")
    with pytest.raises(DatasetError, match="has no character of 1a"):
        read_release(release, ["1a"])


@settings(max_examples=60)
@given(st.text(alphabet='.PEN_DOWUSGMTCHARIL"0123456789:-, \n\\', max_size=300))
def test_any_text_is_read_or_says_nothing(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "data/1a/a").mkdir(parents=True)
    (folder / "data/1a/a/a.dat").write_text(text, "latin-1")
    try:
        strokes = read_release(folder)
    except DatasetError:
        return
    write_strokes(folder / "out.npz", strokes)
    assert len(read_strokes(folder / "out.npz")) == len(strokes) > 0
