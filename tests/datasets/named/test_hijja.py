from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kalamos.datasets import Dataset, SkippedFile, grouped_split, load_dataset
from kalamos.errors import DatasetError

Png = Callable[..., bytes]


def write(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)


@pytest.mark.parametrize("place", ["hijja2.zip", "hijja/hijja2.zip", "hijja2", "hijja"])
@pytest.mark.parametrize("top", ["", "Hijja2-master/"])
def test_numbers_name_the_letters_and_ids_the_writers(tmp_path: Path, png: Png, place: str, top: str) -> None:
    files = {
        "1 alif/1.1/1.png": png(10, 32, 32),
        "6 ha/6.2/108.png": png(20, 32, 32),
        "26 ha/26.4/109.PNG": png(30, 32, 32),
        "29 hamza/29.5/50391.png": png(40, 32, 32),
    }
    write(tmp_path / place, {top + name: content for name, content in files.items()})
    loaded = load_dataset("hijja", tmp_path)
    assert [loaded.alphabet.labels[label] for label in loaded.train.labels] == ["ا", "ح", "ه", "ء"]
    assert loaded.train.images[:, 0, 0].tolist() == [10, 20, 30, 40]
    assert loaded.train.groups.tolist() == [0, 0, 1, 466]
    assert loaded.train.names == tuple(top + name for name in files)
    assert (loaded.test, loaded.grouped_by, loaded.problems) == (None, "writer block", ())


def test_other_files_and_damaged_ones_are_passed_over(tmp_path: Path, png: Png) -> None:
    write(
        tmp_path / "hijja2.zip",
        {
            "1 alif/1.1/5.png": png(10, 32, 32),
            "1 alif/1.1/6.png": b"torn",
            "1 alif/2.1/7.png": png(),
            "30 more/30.1/8.png": png(),
            "readme.txt": b"hello",
            "2 ba/2.1/9.png": png(20, 32, 32),
        },
    )
    loaded = load_dataset("hijja", tmp_path)
    assert loaded.train.labels.tolist() == [0, 1]
    assert loaded.train.groups.tolist() == [0, 0]
    assert {problem.where for problem in loaded.problems} == {
        "1 alif/1.1/6.png", "1 alif/2.1/7.png", "30 more/30.1/8.png", "readme.txt",
    }  # fmt: skip
    assert SkippedFile("readme.txt", "not named like an image of Hijja") in loaded.problems


def test_an_archive_of_something_else_is_refused(tmp_path: Path, png: Png) -> None:
    write(tmp_path / "hijja2.zip", {"cats/1.png": png()})
    with pytest.raises(DatasetError, match=r"hijja2\.zip: no image of Hijja in it"):
        load_dataset("hijja", tmp_path)


def test_the_real_one(hijja: Dataset) -> None:
    assert hijja.train.images.shape == (47_434, 32, 32)
    assert hijja.test is None
    assert len(hijja.alphabet) == 29
    assert np.unique(hijja.train.labels).tolist() == list(range(29))
    assert np.median(hijja.train.images) > 200  # black on white, as published
    assert len(np.unique(hijja.train.groups)) == 467
    assert np.median(np.bincount(hijja.train.groups)) == 108


def test_the_real_images_are_upright(hijja: Dataset, aspect: Callable[..., float]) -> None:
    def of(form: str) -> np.ndarray:
        rows = [row for row, name in enumerate(hijja.train.names) if f"/{form}/" in name][:100]
        return hijja.train.images[rows]

    assert aspect(of("1.1")) > 1.5
    assert aspect(of("12.1")) < 0.9


def test_a_split_by_writers_keeps_them_apart(hijja: Dataset) -> None:
    train, validation = grouped_split(hijja.train.labels, hijja.train.groups, 0.2, seed=42)
    groups = hijja.train.groups
    assert not set(groups[train]) & set(groups[validation])
    assert len(validation) / len(groups) == pytest.approx(0.2, abs=0.01)


def sheets(first: int, last: int, step: int, content: bytes) -> dict[str, bytes]:
    return {f"1 alif/1.1/{number}.png": content for number in range(first, last, step)}


def test_hijja_28_holds_out_one_of_five_sheets_and_leaves_hamza_out(tmp_path: Path, png: Png) -> None:
    early = sheets(1, 25 * 108, 54, png(10, 32, 32))
    write(tmp_path / "hijja2.zip", early | {"29 hamza/29.1/2.png": png(20, 32, 32)})
    loaded = load_dataset("hijja-28", tmp_path)
    assert (loaded.alphabet.name, loaded.grouped_by) == ("arabic-28", "writer block")
    assert (len(loaded.train), len(loaded.test)) == (40, 10)
    assert not set(loaded.train.groups) & set(loaded.test.groups)
    assert sorted(np.unique(loaded.test.groups) // 5) == [0, 1, 2, 3, 4]
    assert set(np.bincount(np.concatenate([loaded.train.groups, loaded.test.groups]))) == {2}


def test_later_sheets_are_held_out_by_the_stretch(tmp_path: Path, png: Png) -> None:
    write(tmp_path / "hijja2.zip", sheets(34_453, 50_391, 100, png(10, 32, 32)))
    loaded = load_dataset("hijja-28", tmp_path)
    assert len(np.unique(loaded.test.groups)) == 3
    for block in np.unique(loaded.test.groups):
        ids = [int(Path(loaded.test.names[row]).stem) for row in np.flatnonzero(loaded.test.groups == block)]
        assert np.ptp(ids) in (900, 1000)
        assert len(ids) in (10, 11)


def test_both_parts_have_to_have_images(tmp_path: Path, png: Png) -> None:
    write(tmp_path / "hijja2.zip", {"29 hamza/29.1/1.png": png(10, 32, 32)})
    loaded = load_dataset("hijja-28", tmp_path)
    assert (len(loaded.train), len(loaded.test)) == (0, 0)


def test_the_real_hijja_28(hijja_28: Dataset, hijja: Dataset) -> None:
    train, test = hijja_28.train, hijja_28.test
    assert len(train) + len(test) == np.count_nonzero(hijja.train.labels < 28)
    assert not set(train.names) & set(test.names)
    assert not {image.tobytes() for image in train.images} & {image.tobytes() for image in test.images}
    shares = np.bincount(test.labels) / np.bincount(np.concatenate([train.labels, test.labels]))
    assert (shares.min() > 0.19, shares.max() < 0.22) == (True, True)
    ids = np.array([int(Path(name).stem) for name in test.names])
    assert np.bincount(ids // 5_000).min() > 50  # from the whole range
