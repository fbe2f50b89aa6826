from __future__ import annotations

from pathlib import Path

import pytest

from kalamos.datasets.named.layout import Layout, absent, archive, find


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


PAIR = Layout(("a-idx3-ubyte", "b-idx1-ubyte"), ("one", "TWO/raw", ""))


@pytest.mark.parametrize("folder", ["one", "TWO/raw", "."])
@pytest.mark.parametrize("spelling", ["-idx3-ubyte.gz", "-idx3-ubyte", ".idx3-ubyte.gz", ".idx3-ubyte"])
def test_idx_files_are_found_in_every_folder_and_spelling(tmp_path: Path, folder: str, spelling: str) -> None:
    touch(tmp_path / folder, f"a{spelling}", "b-idx1-ubyte.gz")
    assert find(tmp_path, PAIR) == (
        tmp_path / folder / f"a{spelling}",
        tmp_path / folder / "b-idx1-ubyte.gz",
    )


def test_files_of_two_folders_do_not_make_one_dataset(tmp_path: Path) -> None:
    touch(tmp_path, "one/a-idx3-ubyte", "TWO/raw/b-idx1-ubyte")
    assert find(tmp_path, PAIR) is None
    touch(tmp_path, "TWO/raw/a-idx3-ubyte")
    assert find(tmp_path, PAIR) == (tmp_path / "TWO/raw/a-idx3-ubyte", tmp_path / "TWO/raw/b-idx1-ubyte")


def test_a_folder_is_no_file_and_an_empty_folder_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "one" / "a-idx3-ubyte.gz").mkdir(parents=True)
    touch(tmp_path, "one/b-idx1-ubyte", "letters.txt")
    assert find(tmp_path, PAIR) is None
    letters = Layout(("letters/",), ("",))
    assert find(tmp_path, letters) is None
    (tmp_path / "letters").mkdir()
    assert find(tmp_path, letters) is None
    touch(tmp_path, "letters/1.png")
    assert find(tmp_path, letters) == (tmp_path / "letters",)


@pytest.mark.parametrize(
    "place", ["v2.zip", "letters/v2.zip", "v2/1.png", "letters/v2/1.png", "letters/1.png"]
)
def test_an_archive_may_be_packed_or_unpacked_beside_or_below(tmp_path: Path, place: str) -> None:
    touch(tmp_path, place)
    [found] = [paths for layout in archive("letters", "v2") if (paths := find(tmp_path, layout))][:1]
    assert found == (tmp_path / place.removesuffix("/1.png"),)


@pytest.mark.parametrize("place", ["v2.zip", "v2/v2.zip", "v2/v2/1.png", "v2/1.png"])
def test_an_archive_may_be_called_as_the_dataset(tmp_path: Path, place: str) -> None:
    touch(tmp_path, place)
    [found] = [paths for layout in archive("v2", "v2") if (paths := find(tmp_path, layout))][:1]
    assert found == (tmp_path / place.removesuffix("/1.png"),)


@pytest.mark.parametrize("root", ["no\0where", "x" * 5000, "ab\ud800sent"])
def test_a_data_folder_that_cannot_be_is_one_that_is_not_there(root: str) -> None:
    assert find(Path(root), PAIR) is None
    assert find(Path(root), Layout(("letters/",), ("",))) is None


def test_what_is_missing_and_where_it_was_looked_for_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "one/b-idx1-ubyte")
    error = absent("pair", tmp_path, (PAIR, *archive("letters", "v2")), "pray")
    assert error.problem == (
        f"pair: there is no {tmp_path}/one/a-idx3-ubyte.gz; nor in TWO/raw or the data folder itself, "
        "nor v2.zip in the data folder itself or letters, nor v2/ in the data folder itself or letters, "
        "nor letters/ in the data folder itself"
    )
    assert error.remedy.startswith(f"pray, or put it into {tmp_path}/one, or point --data-dir")
