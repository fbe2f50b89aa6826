from __future__ import annotations

import io
import unicodedata
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from kalamos.alphabets import ARABIC_28
from kalamos.datasets import Dataset, RaggedImages, SkippedFile, grouped_split, load_dataset
from kalamos.datasets.named import describe
from kalamos.datasets.named.arabic import (
    ARABIC_32,
    LETTERS,
    PUNCTUATION,
    PUNCTUATION_11,
    font_of,
    read_members,
)
from kalamos.errors import DatasetError

Png = Callable[..., bytes]

Files = dict[str, bytes]


def table(values: np.ndarray) -> bytes:
    target = io.BytesIO()
    np.savetxt(target, values, fmt="%d", delimiter=",")
    return target.getvalue()


@pytest.fixture
def upright() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (28, 32, 32), np.uint8)


@pytest.fixture
def files(upright: np.ndarray) -> Files:
    rows = table(upright.transpose(0, 2, 1).reshape(28, -1))
    labels = table(np.arange(1, 29))
    return {
        "csvTrainImages 13440x1024.csv": rows,
        "csvTrainLabel 13440x1.csv": labels,
        "csvTestImages 3360x1024.csv": rows,
        "csvTestLabel 3360x1.csv": labels,
    }


def write_ahcd(root: Path, files: Files, place: str) -> None:
    if place.endswith(".zip"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(root / place, "w") as archive:
            for name, content in files.items():
                archive.writestr(f"some folder/{name}", content)
        return
    (root / place).mkdir(parents=True)
    for name, content in files.items():
        (root / place / name).write_bytes(content)


@pytest.mark.parametrize(
    "place",
    [
        "ahcd-csv.zip", "ahcd/ahcd-csv.zip", "ahcd-csv", "ahcd",
        "Arabic Handwritten Characters Dataset CSV.zip",
    ],
)  # fmt: skip
def test_images_are_upright_and_letters_right(
    tmp_path: Path, files: Files, upright: np.ndarray, place: str
) -> None:
    write_ahcd(tmp_path, files, place)
    loaded = load_dataset("ahcd", tmp_path)
    assert np.array_equal(loaded.train.images, upright)
    assert np.array_equal(loaded.test.images, upright)
    letters = [loaded.alphabet.labels[label] for label in loaded.test.labels]
    assert "".join(letters) == "ابتثجحخدذرزسشصضطظعغفقكلمنهوي"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("csvTestLabel 3360x1.csv", table(np.arange(28)), "labels run from 0 to 27, where AHCD has 1 to 28"),
        ("csvTestLabel 3360x1.csv", table(np.arange(2, 30)), "labels run from 2 to 29"),
        ("csvTestLabel 3360x1.csv", table(np.arange(1, 28)), "28 images came with 27 labels"),
        ("csvTestImages 3360x1024.csv", table(np.zeros((28, 784))), "rows of 784 pixels"),
        ("csvTestImages 3360x1024.csv", table(np.full((28, 1024), 256)), "damaged"),
        ("csvTestImages 3360x1024.csv", b"1,2\n3\n", "damaged"),
        ("csvTestImages 3360x1024.csv", b"<html>", "damaged"),
        ("csvTestImages 3360x1024.csv", b"\xff\xfe", "damaged"),
        ("csvTestImages 3360x1024.csv", b"", "rows of 0 pixels|damaged|empty"),
        ("csvTestImages copy.csv", b"", "2 files are called csvTestImages"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, files: Files, name: str, content: bytes, message: str) -> None:
    write_ahcd(tmp_path, {**files, name: content}, "ahcd-csv.zip")
    with pytest.raises(DatasetError, match=message) as caught:
        load_dataset("ahcd", tmp_path)
    assert "ahcd" in caught.value.problem


def test_a_missing_table_is_told(tmp_path: Path, files: Files) -> None:
    del files["csvTrainLabel 13440x1.csv"]
    write_ahcd(tmp_path, files, "ahcd")
    with pytest.raises(DatasetError, match=r"0 files are called csvTrainLabel\*\.csv"):
        load_dataset("ahcd", tmp_path)


def test_a_writer_begins_where_the_letters_begin_anew(tmp_path: Path, files: Files) -> None:
    three = table(np.concatenate([np.repeat(np.arange(1, 11), 2), np.arange(1, 5), np.arange(1, 5)]))
    write_ahcd(tmp_path, {**files, "csvTrainLabel 13440x1.csv": three}, "ahcd")
    loaded = load_dataset("ahcd", tmp_path)
    assert loaded.train.groups.tolist() == [0] * 20 + [1] * 4 + [2] * 4
    assert loaded.test.groups.tolist() == [0] * 28
    assert loaded.grouped_by == "writer"


def test_ahcd_the_real_one(ahcd: Dataset, aspect: Callable[..., float]) -> None:
    assert ahcd.train.images.shape == (13_440, 32, 32)
    assert ahcd.test.images.shape == (3_360, 32, 32)
    assert np.bincount(ahcd.train.labels).tolist() == [480] * 28
    assert np.bincount(ahcd.test.labels).tolist() == [120] * 28
    for split in (ahcd.train, ahcd.test):
        tall, flat = (
            aspect(split.images[split.labels == ahcd.alphabet.index(letter)][:100]) for letter in "اس"
        )
        assert (tall > 1.5, flat < 0.9) == (True, True)  # the other way round, were they transposed


def test_the_real_writers_are_in_both_parts(ahcd: Dataset) -> None:
    assert np.bincount(ahcd.train.groups).tolist() == [28 * 8] * 60
    assert np.bincount(ahcd.test.groups).tolist() == [28 * 2] * 60
    own = []
    for label in range(0, 28, 3):
        theirs, ours = ahcd.train.labels == label, ahcd.test.labels == label
        train, test = (
            _blurred(split.images[rows]) for split, rows in ((ahcd.train, theirs), (ahcd.test, ours))
        )
        nearest = ahcd.train.groups[theirs][(test @ train.T).argmax(axis=1)]
        own.append((nearest == ahcd.test.groups[ours]).mean())
    assert np.mean(own) > 0.3  # by chance 1 / 60


def _blurred(images: np.ndarray) -> np.ndarray:
    """Unit vectors in which a stroke a pixel off is still near."""
    rows = np.stack([cv2.GaussianBlur(image, (5, 5), 0) for image in images]).reshape(len(images), -1)
    return rows / np.maximum(
        np.linalg.norm(rows.astype(np.float32), axis=1, keepdims=True), 1
    )  # one is blank


def ahcd_files(folder: Path, value: int) -> None:
    folder.mkdir()
    for part in ("Train", "Test"):
        np.savetxt(folder / f"csv{part}Images.csv", np.full((2, 1024), value), fmt="%d", delimiter=",")
        (folder / f"csv{part}Label.csv").write_text("1\n28\n")


def hijja_files(folder: Path, value: int) -> None:
    for sheet in range(5):
        path = folder / f"2 ba/2.1/{sheet * 108 + 1}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((32, 32), value, np.uint8))


def test_two_sources_of_one_polarity_under_one_alphabet(tmp_path: Path) -> None:
    ahcd_files(tmp_path / "ahcd", 30)
    hijja_files(tmp_path / "hijja", 200)
    loaded = load_dataset("arabic-letters", tmp_path)
    assert [loaded.alphabet.labels[label] for label in loaded.train.labels] == ["ا", "ي", *"بببب"]
    assert loaded.train.images[:, 0, 0].tolist() == [30, 30, 55, 55, 55, 55]
    assert loaded.test.images[:, 0, 0].tolist() == [30, 30, 55]
    assert loaded.train.groups.tolist()[:2] == loaded.test.groups.tolist()[:2] == [0, 0]
    blocks = loaded.train.groups.tolist()[2:] + loaded.test.groups.tolist()[2:]
    assert sorted(blocks) == [-5, -4, -3, -2, -1]


@pytest.mark.parametrize(("there", "absent"), [("ahcd", "hijja2.zip"), ("hijja", "ahcd-csv.zip")])
def test_one_source_alone_does_not_do(tmp_path: Path, there: str, absent: str) -> None:
    {"ahcd": ahcd_files, "hijja": hijja_files}[there](tmp_path / there, 1)
    with pytest.raises(DatasetError, match=f"^arabic-letters: there is no .*{absent}"):
        load_dataset("arabic-letters", tmp_path)


def test_the_real_ones(arabic_letters: Dataset, ahcd: Dataset) -> None:
    for together, first in ((arabic_letters.train, ahcd.train), (arabic_letters.test, ahcd.test)):
        assert np.array_equal(together.images[: len(first)], first.images)
        assert np.array_equal(together.labels[: len(first)], first.labels)
        assert np.array_equal(together.groups >= 0, np.arange(len(together)) < len(first))
        assert together.images.mean(axis=(1, 2)).max() < 128  # bright on black
    blocks = [set(split.groups[split.groups < 0]) for split in (arabic_letters.train, arabic_letters.test)]
    assert not blocks[0] & blocks[1]


def test_nothing_of_the_test_is_in_the_training_byte_for_byte(arabic_letters: Dataset) -> None:
    seen = {image.tobytes() for image in arabic_letters.train.images}
    assert not any(image.tobytes() in seen for image in arabic_letters.test.images)


def test_its_alphabet_is_that_of_its_sources() -> None:
    assert describe("arabic-letters").alphabet == describe("ahcd").alphabet == describe("hijja-28").alphabet


def write_hijja(path: Path, files: dict[str, bytes]) -> None:
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
    write_hijja(tmp_path / place, {top + name: content for name, content in files.items()})
    loaded = load_dataset("hijja", tmp_path)
    assert [loaded.alphabet.labels[label] for label in loaded.train.labels] == ["ا", "ح", "ه", "ء"]
    assert loaded.train.images[:, 0, 0].tolist() == [10, 20, 30, 40]
    assert loaded.train.groups.tolist() == [0, 0, 1, 466]
    assert loaded.train.names == tuple(top + name for name in files)
    assert (loaded.test, loaded.grouped_by, loaded.problems) == (None, "writer block", ())


def test_other_files_and_damaged_ones_are_passed_over(tmp_path: Path, png: Png) -> None:
    write_hijja(
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
    write_hijja(tmp_path / "hijja2.zip", {"cats/1.png": png()})
    with pytest.raises(DatasetError, match=r"hijja2\.zip: no image of Hijja in it"):
        load_dataset("hijja", tmp_path)


def test_hijja_the_real_one(hijja: Dataset) -> None:
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
    write_hijja(tmp_path / "hijja2.zip", early | {"29 hamza/29.1/2.png": png(20, 32, 32)})
    loaded = load_dataset("hijja-28", tmp_path)
    assert (loaded.alphabet.name, loaded.grouped_by) == ("arabic-28", "writer block")
    assert (len(loaded.train), len(loaded.test)) == (40, 10)
    assert not set(loaded.train.groups) & set(loaded.test.groups)
    assert sorted(np.unique(loaded.test.groups) // 5) == [0, 1, 2, 3, 4]
    assert set(np.bincount(np.concatenate([loaded.train.groups, loaded.test.groups]))) == {2}


def test_later_sheets_are_held_out_by_the_stretch(tmp_path: Path, png: Png) -> None:
    write_hijja(tmp_path / "hijja2.zip", sheets(34_453, 50_391, 100, png(10, 32, 32)))
    loaded = load_dataset("hijja-28", tmp_path)
    assert len(np.unique(loaded.test.groups)) == 3
    for block in np.unique(loaded.test.groups):
        ids = [int(Path(loaded.test.names[row]).stem) for row in np.flatnonzero(loaded.test.groups == block)]
        assert np.ptp(ids) in (900, 1000)
        assert len(ids) in (10, 11)


def test_both_parts_have_to_have_images(tmp_path: Path, png: Png) -> None:
    write_hijja(tmp_path / "hijja2.zip", {"29 hamza/29.1/1.png": png(10, 32, 32)})
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


HMBD_FILES = {
    "Baa_Middle/00002-1.png": "ب,form-00002",
    "Hamza_Isolated/00002-2.png": "ء,form-00002",
    "Lam_Alf_Hamza_Isolated/00010-3.png": "لأ,form-00010",
    "Alf_Hamza_Above_Isolated/00010-4.png": "أ,form-00010",
    "Alf_Isolated/00010-5.png": "ا,form-00010",
}


def hmbd_files(png: Png, rows: dict[str, str]) -> Files:
    table = "\n".join(["path,label,group,position", *(f"{name},{row},x" for name, row in rows.items())])
    images = {name: png(10 * number, 64, 64) for number, name in enumerate(rows, 1)}
    return images | {"manifest.csv": table.encode()}


@pytest.mark.parametrize("place", ["hmbd.zip", "hmbd/hmbd.zip", "hmbd"])
def test_hmbd_is_read_by_its_manifest(tmp_path: Path, png: Png, place: str) -> None:
    write_hijja(tmp_path / place, hmbd_files(png, HMBD_FILES))
    loaded = load_dataset("hmbd", tmp_path)
    read = {
        name: (loaded.alphabet.labels[label], int(image[0, 0]), group)
        for name, label, image, group in zip(
            loaded.train.names, loaded.train.labels, loaded.train.images, loaded.train.groups, strict=True
        )
    }
    assert read == {
        name: (row.partition(",")[0], 10 * number, int(row.endswith("10")))
        for number, (name, row) in enumerate(HMBD_FILES.items(), 1)
    }
    assert (loaded.test, loaded.grouped_by, loaded.problems) == (None, "form", ())


def test_hmbd_15_has_the_letters_that_are_of_the_28_and_no_alef_with_hamza(tmp_path: Path, png: Png) -> None:
    write_hijja(tmp_path / "hmbd.zip", hmbd_files(png, HMBD_FILES))
    loaded = load_dataset("hmbd-15", tmp_path)
    assert sorted(loaded.train.names) == ["Alf_Isolated/00010-5.png", "Baa_Middle/00002-1.png"]
    assert {loaded.alphabet.labels[label] for label in loaded.train.labels} == {"ا", "ب"}
    assert set(loaded.alphabet.labels) < set(ARABIC_28.labels)
    assert list(loaded.alphabet.labels) == sorted(loaded.alphabet.labels, key=ARABIC_28.index)


def test_hmbd_without_its_table_or_with_another_label_is_refused(tmp_path: Path, png: Png) -> None:
    files = hmbd_files(png, HMBD_FILES | {"x.png": "خ,form-00011"})
    write_hijja(tmp_path / "a" / "hmbd.zip", files)
    with pytest.raises(DatasetError, match=r"hmbd\.zip: the label 'خ' is not of HMBD's letters"):
        load_dataset("hmbd", tmp_path / "a")
    del files["manifest.csv"]
    write_hijja(tmp_path / "b" / "hmbd.zip", files)
    with pytest.raises(DatasetError, match=r"hmbd\.zip: there is no table of its images") as caught:
        load_dataset("hmbd", tmp_path / "b")
    assert "path,label,group" in caught.value.remedy


def test_hmbd_the_real_one(hmbd: Dataset, hmbd_15: Dataset, aspect: Callable[..., float]) -> None:
    counts = dict(zip(hmbd.alphabet.labels, np.bincount(hmbd.train.labels).tolist(), strict=True))
    assert min(counts.values()) > 350
    assert {label for label, count in counts.items() if count > 700} == set("بتجغ")
    assert np.median(hmbd.train.images) > 200  # black on white
    tall, flat = (
        aspect(hmbd.train.images[hmbd.train.labels == hmbd.alphabet.index(label)]) for label in "اس"
    )
    assert (tall > 3, flat < 1) == (True, True)  # upright
    assert len(np.unique(hmbd.train.groups)) == 99
    assert len(hmbd_15.train) == sum(count for label, count in counts.items() if label in ARABIC_28)
    assert set(hmbd_15.train.names) < set(hmbd.train.names)


def label_of(member: str) -> int | None:
    return {"a": 0, "b": 1}.get(member[0])


def test_labels_stay_with_the_images_that_can_be_read(
    as_either: Callable[[Files], Path], png: Callable[..., bytes]
) -> None:
    path = as_either({"b/2.png": png(20), "a/1.png": b"torn", "c/3.png": png(), "a/4.png": png(40, 2, 3)})
    split, problems = read_members(path, label_of, dataset="Letters", example_folder="a")
    assert split.names == ("a/4.png", "b/2.png")
    assert split.labels.tolist() == [0, 1]
    assert [int(image[0, 0]) for image in split.images] == [40, 20]
    assert problems[0] == SkippedFile("c/3.png", "not named like an image of Letters")
    assert [problem.where for problem in problems] == ["c/3.png", "a/1.png"]


def test_nothing_of_the_dataset(as_either: Callable[[Files], Path], png: Callable[..., bytes]) -> None:
    path = as_either({"c/3.png": png(), "a/1.png": b"torn"})
    with pytest.raises(DatasetError, match="no image of Letters in it; it holds folders such as 'a'"):
        read_members(path, label_of, dataset="Letters", example_folder="a")


def write_ocr_arabic(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("file", "font"),
    [
        ("iArial_12 size47.jpg", "Arial"),
        ("iArial_40 size9 - Copy.jpg", "Arial"),
        ("z6Typesetting_30 size.jpg", "Typesetting"),
        ("z6Typesetting_12 size.jpg", "Unicode"),
        ("z93Unicode_13 size.jpg", "Unicode"),
        ("z22iAndalus_23 size - Copy.jpg", "Andalus"),
        ("iCalibri_152 size3.jpg", "Calibri"),
        ("10 Arial.jpg", "Arial"),
        ("10 Arial .jpg", "Arial"),
        ("11  Calibri Light.jpg", "Calibri"),
        ("9Traditional Arabic.jpg", "Traditional Arabic"),
        ("40 Segoe UI Semilight.jpg", "Segoe UI"),
        ("scan.jpg", ""),
        ("", ""),
    ],
)
def test_the_font_is_told_by_the_name_whatever_size_and_style(file: str, font: str) -> None:
    assert font_of(file) == font


def test_folders_are_the_letters_they_show() -> None:
    assert sorted(LETTERS.values()) == sorted(ARABIC_32.labels)
    assert sorted(PUNCTUATION.values()) == sorted(PUNCTUATION_11.labels)
    names = {folder: unicodedata.name(label[0]) for folder, label in LETTERS.items()}
    for folder, name in (
        ("taa", "TAH"),
        ("ta2", "TEH"),
        ("7aa", "HAH"),
        ("haa", "HEH"),
        ("za2", "ZAH"),
        ("3ayn", "AIN"),
    ):
        assert names[folder] == f"ARABIC LETTER {name}"


def test_labels_groups_and_sizes(tmp_path: Path, png: Png) -> None:
    files = {
        "7aa/iArial_12 size1.jpg": png(10, 5, 4),
        "7aa/iArial_40 size2.jpg": png(20, 6, 4),
        "lamAlif/z1Unicode_20 size.jpg": png(30, 7, 9),
        "lamAlif/z2Typesetting_20 size.jpg": png(40, 5, 4),
    }
    write_ocr_arabic(tmp_path / "ocr-arabic.zip", files)
    loaded = load_dataset("ocr-arabic", tmp_path)
    assert [loaded.alphabet.labels[label] for label in loaded.train.labels] == ["ح", "ح", "لا", "لا"]
    assert isinstance(loaded.train.images, RaggedImages)
    assert [image.shape for image in loaded.train.images] == [(5, 4), (6, 4), (7, 9), (5, 4)]
    assert loaded.train.groups.tolist() == [0, 0, 2, 1]
    assert loaded.train.names == tuple(files)
    assert (loaded.test, loaded.grouped_by) == (None, "font")


def test_twins_under_two_fonts_are_of_one(tmp_path: Path, png: Png) -> None:
    files = {
        "baa/z1Typesetting_13 size.jpg": png(10),
        "baa/z1Unicode_13 size.jpg": png(10),
        "baa/z2Typesetting_13 size.jpg": png(20),
        "baa/z3Typesetting_13 size.jpg": png(10),
        "dal/iArial_13 size1.jpg": png(10, 5, 6),  # the same bytes in another shape
    }
    write_ocr_arabic(tmp_path / "ocr-arabic.zip", files)
    groups = load_dataset("ocr-arabic", tmp_path).train.groups
    assert groups.tolist() == [2, 2, 1, 2, 0]


def test_strangers_are_passed_over(tmp_path: Path, png: Png) -> None:
    write_ocr_arabic(
        tmp_path / "ocr-arabic.zip",
        {
            "top/baa/1.png": png(),
            "cats/1.png": png(),
            "loose.png": png(),
            "baa/torn.jpg": b"",
            "dal/2.png": png(),
        },
    )
    loaded = load_dataset("ocr-arabic", tmp_path)
    assert set(loaded.train.names) == {"top/baa/1.png", "dal/2.png"}
    assert {problem.where for problem in loaded.problems} == {"cats/1.png", "loose.png", "baa/torn.jpg"}
    write_ocr_arabic(tmp_path / "ocr-arabic.zip", {"cats/1.png": png()})
    with pytest.raises(DatasetError, match="no image of OCR-Arabic in it"):
        load_dataset("ocr-arabic", tmp_path)


def test_the_real_letters(ocr_arabic: Dataset, aspect: Callable[..., float]) -> None:
    split = ocr_arabic.train
    assert len(split) == 15_288
    assert len(ocr_arabic.alphabet) == 32
    assert np.unique(split.labels).tolist() == list(range(32))
    assert np.bincount(split.groups).tolist() == [3025, 3317, 3416, 3434 - 117 - 78, 2096 + 117 + 78]
    tall, flat = (
        aspect(split.images[split.labels == ocr_arabic.alphabet.index(letter)][:200]) for letter in "اس"
    )
    assert (tall > 1.5, flat < 0.9) == (True, True)


def test_no_twins_on_both_sides_of_a_split_by_font(ocr_arabic: Dataset) -> None:
    fonts = defaultdict(set)
    for image, group in zip(ocr_arabic.train.images, ocr_arabic.train.groups.tolist(), strict=True):
        fonts[image.shape, image.tobytes()].add(group)
    assert max(map(len, fonts.values())) == 1
    assert len(ocr_arabic.train) - len(fonts) > 800  # and twins there are


def test_the_real_punctuation(ocr_arabic_punctuation: Dataset) -> None:
    assert len(ocr_arabic_punctuation.train) == 1_595
    assert np.bincount(ocr_arabic_punctuation.train.labels).min() >= 140
    assert len(np.unique(ocr_arabic_punctuation.train.groups)) == 10
