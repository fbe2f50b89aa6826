from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from kalamos.inputs import InputSearch
from kalamos.inputs.counting import count_images

PNG = bytes.fromhex("89504e470d0a1a0a")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images, hidden and other files, and two archives (which a searched folder passes over)."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("1.png", "2.JPG", "deep/3.tif", "deep/er/4.webp", ".hidden.png", "notes.txt"):
        (tmp_path / name).write_bytes(PNG)
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        for name in ("a.png", "b/c.png", "b/.d.png", "readme.txt"):
            archive.writestr(name, PNG)
    with tarfile.open(tmp_path / "some.tar", "w") as tar:
        tar.add(tmp_path / "1.png", "1.png")
    (tmp_path / "list.csv").write_text("path\n1.png\n")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    return tmp_path


@pytest.mark.parametrize(
    "names",
    [
        ["."],
        ["1.png", "deep"],
        ["some.zip"],
        ["some.zip", "deep", "empty.zip"],
        ["*.png"],
        ["1.png", "no.png"],
    ],
)
def test_the_count_is_that_of_the_search(folder: Path, names: list[str]) -> None:
    paths = [os.path.join(folder, name) for name in names]  # noqa: PTH118
    assert count_images(paths) == len(list(InputSearch(paths)))


@pytest.mark.parametrize("name", ["some.tar", "list.csv", "no.png", "empty"])
def test_what_only_reading_tells_is_not_counted(folder: Path, name: str) -> None:
    (folder / "empty").mkdir()
    assert count_images([str(folder / name)]) is None
    assert count_images([str(folder / "1.png"), "-"]) is None
