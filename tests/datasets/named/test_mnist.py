from __future__ import annotations

import bz2
import gzip
import hashlib
import os
import string
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

import kalamos
from kalamos.alphabets import LATIN_47
from kalamos.datasets import Dataset, load_dataset
from kalamos.datasets.named.mnist import ARRANGEMENTS, parse_idx, read_arrays, read_idx
from kalamos.errors import DatasetError

Write = Callable[[Path, str], np.ndarray]
ToIdx = Callable[[NDArray[Any]], bytes]
ARRAYS = st.sampled_from(["u1", "i1", "i2", "i4", "f4", "f8"]).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
)
MERGED = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"
CLASSES = {
    "balanced": MERGED,
    "bymerge": MERGED,
    "byclass": string.digits + string.ascii_uppercase + string.ascii_lowercase,
    "letters": string.ascii_uppercase,
    "digits": string.digits,
    "mnist": string.digits,
}


@pytest.fixture
def write(write_idx: Callable[..., None]) -> Write:
    """Write the files of an arrangement into a folder; returns the upright test images, one a class."""

    def write(folder: Path, arrangement: str, suffix: str = ".gz") -> np.ndarray:
        count = len(CLASSES[arrangement])
        first = 1 if arrangement == "letters" else 0
        for part in ("train", "test"):
            upright = np.random.default_rng(count).integers(0, 256, (count, 28, 28), np.uint8)
            codes = np.arange(first, first + count).astype(np.uint8)
            stem = f"emnist-{arrangement}-{part}"
            write_idx(folder / f"{stem}-images-idx3-ubyte{suffix}", upright.transpose(0, 2, 1))
            write_idx(folder / f"{stem}-labels-idx1-ubyte{suffix}", codes)
        return upright

    return write


def zipped(folder: Path, target: Path, top: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, top + path.name)


def labels(dataset: Dataset) -> str:
    return "".join(dataset.alphabet.labels[label] for label in dataset.test.labels)


@pytest.mark.parametrize("arrangement", CLASSES)
@pytest.mark.parametrize("place", ["emnist", "emnist/gzip", "EMNIST/raw", "."])
def test_images_are_upright_and_labels_right(
    write: Write, tmp_path: Path, arrangement: str, place: str
) -> None:
    upright = write(tmp_path / place, arrangement)
    loaded = load_dataset(f"emnist-{arrangement}", tmp_path)
    assert np.array_equal(loaded.test.images, upright)
    assert loaded.test.images.flags.c_contiguous
    assert labels(loaded) == CLASSES[arrangement]
    assert loaded.train.labels.dtype == np.int64


@pytest.mark.parametrize("arrangement", CLASSES)
@pytest.mark.parametrize("place", ["gzip.zip", "emnist/gzip.zip", "EMNIST/raw/gzip.zip"])
def test_the_official_archive_needs_no_unpacking(
    write: Write, tmp_path: Path, arrangement: str, place: str
) -> None:
    upright = write(tmp_path / "files", arrangement)
    zipped(tmp_path / "files", tmp_path / place, "gzip/")
    loaded = load_dataset(f"emnist-{arrangement}", tmp_path)
    assert np.array_equal(loaded.test.images, upright)
    assert labels(loaded) == CLASSES[arrangement]


@pytest.mark.parametrize("arrangement", CLASSES)
def test_torchvision_sees_the_same_in_its_own_folder(write: Write, tmp_path: Path, arrangement: str) -> None:
    torchvision = pytest.importorskip("torchvision", reason="needs the extra 'train'")
    write(tmp_path / "EMNIST" / "raw", arrangement, "")
    theirs = torchvision.datasets.EMNIST(tmp_path, arrangement, train=False)
    ours = load_dataset(f"emnist-{arrangement}", tmp_path)
    assert np.array_equal(ours.test.images, theirs.data.numpy().transpose(0, 2, 1))
    named = "".join(theirs.classes[code] for code in theirs.targets.tolist())
    assert labels(ours) == (named.upper() if arrangement == "letters" else named)


@pytest.mark.parametrize("packed", [True, False])
def test_the_mapping_file_is_the_truth(write: Write, tmp_path: Path, packed: bool) -> None:
    write(tmp_path / "emnist", "letters")
    lines = [f"{27 - rank} {64 + rank} {96 + rank}" for rank in range(1, 27)]
    (tmp_path / "emnist" / "emnist-letters-mapping.txt").write_text("\r\n".join([*lines, ""]))
    if packed:
        zipped(tmp_path / "emnist", tmp_path / "gzip.zip", "gzip/")
        for path in (tmp_path / "emnist").iterdir():
            path.unlink()
    assert labels(load_dataset("emnist-letters", tmp_path)) == string.ascii_uppercase[::-1]


@pytest.mark.parametrize(
    "line", ["0", "0 x", "0 -5", "0 99999999999", "0 8364", "999 48", "-300 48", "-1 48"]
)
def test_a_mapping_that_makes_no_sense_is_refused(write: Write, tmp_path: Path, line: str) -> None:
    write(tmp_path / "emnist", "digits")
    (tmp_path / "emnist" / "emnist-digits-mapping.txt").write_text(line)
    with pytest.raises(DatasetError, match=r"emnist-digits-mapping\.txt"):
        load_dataset("emnist-digits", tmp_path)


def test_labels_that_stand_for_nothing_are_refused(
    write: Write, write_idx: Callable[..., None], tmp_path: Path
) -> None:
    write(tmp_path / "emnist", "letters")
    strange = np.arange(26).astype(np.uint8)  # from 0, as nobody hands them out
    write_idx(tmp_path / "emnist" / "emnist-letters-train-labels-idx1-ubyte.gz", strange)
    with pytest.raises(
        DatasetError, match="emnist-letters-train has a label 0, which stands for no character"
    ):
        load_dataset("emnist-letters", tmp_path)


def test_files_of_another_kind_are_refused(
    write: Write, write_idx: Callable[..., None], tmp_path: Path
) -> None:
    write(tmp_path / "emnist", "mnist")
    images = tmp_path / "emnist" / "emnist-mnist-test-images-idx3-ubyte.gz"
    write_idx(images, np.zeros((10, 784), np.uint8))
    with pytest.raises(DatasetError, match="holds uint8 "):
        load_dataset("emnist-mnist", tmp_path)
    images.write_bytes(b"\x1f\x8bdamaged")
    with pytest.raises(DatasetError, match=r"test-images-idx3-ubyte\.gz: cannot be read"):
        load_dataset("emnist-mnist", tmp_path)
    images.unlink()
    images.with_suffix("").write_bytes(b"<html>")
    with pytest.raises(DatasetError, match="test-images-idx3-ubyte: not an IDX file"):
        load_dataset("emnist-mnist", tmp_path)


def test_an_archive_without_the_arrangement_says_what_it_lacks(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "files", "digits")
    zipped(tmp_path / "files", tmp_path / "emnist" / "gzip.zip", "gzip/")
    with pytest.raises(
        DatasetError, match=r"gzip\.zip: there is no emnist-balanced-train-images.*\.gz in it"
    ):
        load_dataset("emnist-balanced", tmp_path)
    (tmp_path / "emnist" / "gzip.zip").write_bytes(b"half")
    with pytest.raises(DatasetError, match=r"gzip\.zip: not a zip archive"):
        load_dataset("emnist-digits", tmp_path)


def test_the_published_counts() -> None:
    assert {name: (len(alphabet), train, test) for name, (alphabet, train, test) in ARRANGEMENTS.items()} == {
        "byclass": (62, 697_932, 116_323),
        "bymerge": (47, 697_932, 116_323),
        "balanced": (47, 112_800, 18_800),
        "letters": (26, 124_800, 20_800),
        "digits": (10, 240_000, 40_000),
        "mnist": (10, 60_000, 10_000),
    }


def arrays_emnist_47() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        "classes": np.array(LATIN_47.labels),
        "train_images": generator.integers(0, 256, (5, 28, 28), np.uint8),
        "train_labels": np.array([0, 46, 1, 2, 3], np.uint8),
        "test_images": generator.integers(0, 256, (4, 28, 28), np.uint8),
        "test_labels": np.array([9, 8, 7, 6], np.uint8),
        "balanced_test_idx": np.array([3, 1], np.int32),
    }


@pytest.mark.parametrize("folder", ["emnist", "."])
def test_the_bench_is_a_part_of_the_test_images(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    given = arrays_emnist_47()
    np.savez(tmp_path / folder / "emnist-bymerge47.npz", **given)
    loaded = load_dataset("emnist-47", tmp_path)
    assert np.array_equal(loaded.train.images, given["train_images"])
    assert np.array_equal(loaded.test.images, given["test_images"][[3, 1]])
    assert loaded.test.labels.tolist() == [6, 8]
    assert loaded.train.labels.dtype == loaded.test.labels.dtype == np.int64


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"classes": np.array(list("abc"))}, "its classes are not those of EMNIST Balanced"),
        ({"balanced_test_idx": np.array([4])}, "does not point at test images"),
        ({"balanced_test_idx": np.array([-1])}, "does not point at test images"),
        ({"balanced_test_idx": np.array([0.5])}, "does not point at test images"),
        ({"train_labels": np.array([0, 47, 1, 2, 3])}, "labels run from 0 to 47"),
        ({"train_labels": np.array(list("abcde"))}, "labels are <U1, where int64 is needed"),
        ({"train_labels": np.array([0, 46, 1, 2, 3.5])}, "labels are float64"),
        ({"train_images": np.zeros((5, 28, 28))}, "where uint8 .* is needed"),
        ({"test_labels": np.array([9])}, "4 images came with 1 labels"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, changed: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "emnist-bymerge47.npz", **{**arrays_emnist_47(), **changed})
    with pytest.raises(DatasetError, match=message):
        load_dataset("emnist-47", tmp_path)


def test_the_bench_is_balanced(emnist_47: Dataset) -> None:
    assert (len(emnist_47.train), len(emnist_47.test)) == (141_248, 18_800)
    assert np.bincount(emnist_47.test.labels).tolist() == [400] * 47
    assert np.bincount(emnist_47.train.labels, minlength=47).min() > 0


def test_the_images_are_upright(emnist_47: Dataset) -> None:
    rows = np.flatnonzero(emnist_47.test.labels < 10)[::10]
    images, truth = emnist_47.test.images[rows], emnist_47.test.labels[rows]
    reader = kalamos.load("digits")

    def accuracy(images: np.ndarray) -> float:
        return float(
            np.mean(
                [
                    reader.predict(image).label == str(label)
                    for image, label in zip(images, truth, strict=True)
                ]
            )
        )

    assert accuracy(images) > 0.9
    assert accuracy(images.transpose(0, 2, 1)) < 0.6


def test_a_missing_file_says_where_it_was_looked_for_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        load_dataset("mnist", tmp_path)
    assert str(tmp_path / "mnist" / "train-images-idx3-ubyte.gz") in caught.value.problem
    assert "MNIST/raw" in caught.value.problem
    for hint in (str(tmp_path / "mnist"), "kalamos data get mnist", "--data-dir", "KALAMOS_DATA"):
        assert hint in caught.value.remedy


def test_a_data_folder_is_read(digits_folder: Path, digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALAMOS_DATA", str(digits_folder))
    loaded = load_dataset("mnist")
    assert loaded.alphabet.labels == tuple("0123456789")
    assert loaded.train.sha256 == digits.train.sha256
    assert loaded.test.sha256 == digits.test.sha256
    assert loaded.train.labels.dtype == np.int64


@pytest.mark.parametrize("gzipped", [True, False])
@pytest.mark.parametrize("dotted", [True, False])
@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw"])
def test_the_names_of_the_mirrors_and_torchvision_s_folder(
    digits_folder: Path, digits: Dataset, tmp_path: Path, gzipped: bool, dotted: bool, folder: str
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    for source in (digits_folder / "mnist").iterdir():
        name = source.name if gzipped else source.stem
        content = source.read_bytes() if gzipped else gzip.decompress(source.read_bytes())
        (tmp_path / folder / (name.replace("-idx", ".idx") if dotted else name)).write_bytes(content)
    assert load_dataset("mnist", tmp_path).test.sha256 == digits.test.sha256


def test_mismatched_files_are_refused(digits_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    for source in (digits_folder / "mnist").iterdir():
        (tmp_path / "mnist" / source.name).write_bytes(source.read_bytes())
    labels = tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes((digits_folder / "mnist" / "train-labels-idx1-ubyte.gz").read_bytes())
    with pytest.raises(DatasetError, match="60 images came with 300 labels"):
        load_dataset("mnist", tmp_path)


@pytest.mark.parametrize("folder", ["kmnist", "KMNIST/raw"])
def test_kmnist_is_mnist_with_other_characters(
    write_idx: Callable[..., None], tmp_path: Path, folder: str
) -> None:
    torchvision = pytest.importorskip("torchvision", reason="needs the extra 'train'")
    generator = np.random.default_rng(3)
    for part, count in (("train", 20), ("t10k", 10)):
        images = generator.integers(0, 256, (count, 28, 28), np.uint8)
        write_idx(tmp_path / folder / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(
            tmp_path / folder / f"{part}-labels-idx1-ubyte.gz", (np.arange(count) % 10).astype(np.uint8)
        )
    loaded = load_dataset("kmnist", tmp_path)
    assert np.array_equal(loaded.test.images, images)
    assert loaded.test.labels.tolist() == list(range(10))
    # What torchvision calls them, in Latin letters.
    romaji = dict(
        zip("おきすつなはまやれを", ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"], strict=True)
    )
    assert [romaji[label] for label in loaded.alphabet.labels] == torchvision.datasets.KMNIST.classes


def test_mnist_is_the_official_one(mnist: Dataset) -> None:
    assert mnist.train.images.shape == (60_000, 28, 28)
    assert mnist.test.images.shape == (10_000, 28, 28)
    assert np.bincount(mnist.train.labels).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert np.bincount(mnist.test.labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert mnist.test.labels[:8].tolist() == [7, 2, 1, 0, 4, 1, 4, 9]


@pytest.mark.parametrize(
    ("name", "md5"),
    [
        ("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb"),
        ("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea"),
    ],
)
def test_mnist_s_files_are_the_known_ones(mnist: Dataset, name: str, md5: str) -> None:
    folder = Path(os.environ["KALAMOS_DATA"]) / "mnist"
    [path] = [p for p in folder.iterdir() if p.name.replace(".idx", "-idx").startswith(name)]
    content = path.read_bytes()
    raw = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    assert hashlib.md5(raw, usedforsecurity=False).hexdigest() == md5


def test_arrays_come_in_the_order_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "two.npz"
    np.savez(path, a=np.arange(3), b=np.zeros(2))
    b, a = read_arrays(path, "b", "a")
    assert (b.tolist(), a.tolist()) == ([0, 0], [0, 1, 2])
    with pytest.raises(DatasetError, match=r"two\.npz: there is no array 'c' in it"):
        read_arrays(path, "a", "c")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "objects.npz"
    np.savez(path, a=np.array([{"an": "object"}], object))
    with pytest.raises(DatasetError, match="cannot be read"):
        read_arrays(path, "a")


def test_an_array_alone_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    with pytest.raises(DatasetError, match=r"one\.npz: cannot be read"):
        read_arrays(path, "a")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_arrays(tmp_path / "absent.npz", "a")


@given(data=st.data())
def test_damage_is_an_error_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    values = np.arange(100, dtype=np.uint8)
    np.savez_compressed(path, a=values)
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[position:]
    else:
        content[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        [again] = read_arrays(path, "a")
    except DatasetError as error:
        assert "damaged.npz" in error.problem  # noqa: PT017
    else:
        assert np.array_equal(again, values)


def libsvm(pixels: np.ndarray, labels: np.ndarray) -> bytes:
    """As LIBSVM writes it, with labels from 1."""
    lines = []
    for row, label in zip(pixels.reshape(len(pixels), -1), labels, strict=True):
        lines.append(f"{label + 1} " + " ".join(f"{i}:{value:g}" for i, value in enumerate(row, 1)) + " ")
    return ("\n".join(lines) + "\n").encode()


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (10, 16, 16)).round(3)


@pytest.mark.parametrize("folder", ["usps", "USPS", "."])
def test_torchvision_s_files_are_read_as_it_reads_them(
    tmp_path: Path, pixels: np.ndarray, folder: str
) -> None:
    torchvision = pytest.importorskip("torchvision", reason="needs the extra 'train'")
    place = tmp_path / folder
    place.mkdir(exist_ok=True)
    (place / "usps.bz2").write_bytes(bz2.compress(libsvm(pixels, np.arange(10))))
    (place / "usps.t.bz2").write_bytes(bz2.compress(libsvm(pixels[::-1], np.arange(10))))
    ours = load_dataset("usps", tmp_path)
    for split, train in ((ours.train, True), (ours.test, False)):
        theirs = torchvision.datasets.USPS(place, train=train)
        assert split.labels.tolist() == theirs.targets
        # It cuts the fraction of a grey level off, where this rounds.
        assert np.abs(split.images.astype(int) - theirs.data).max() <= 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not 16x16 pixels"),
        (b"1 1:0 2:0\n", "not 16x16 pixels"),
        (b"1 1:0 2:0\n2 1:0\n", "cannot be read"),
        (b"<html>\n", "cannot be read"),
        (libsvm(np.full((2, 16, 16), 1.5), np.arange(2)), "pixels outside of -1 to 1"),
        (libsvm(np.full((2, 16, 16), np.nan), np.arange(2)), "pixels outside of -1 to 1"),
        (libsvm(np.zeros((2, 16, 16)), np.arange(2)).replace(b" 7:0", b" 9:0"), "in order"),
        (libsvm(np.zeros((2, 16, 16)), np.array([0, 10])), "labels run from 0 to 10"),
    ],
)
def test_usps_what_is_wrong_is_said(tmp_path: Path, pixels: np.ndarray, content: bytes, message: str) -> None:
    (tmp_path / "usps.bz2").write_bytes(bz2.compress(content))
    (tmp_path / "usps.t.bz2").write_bytes(bz2.compress(libsvm(pixels, np.arange(10))))
    with pytest.raises(DatasetError, match=message):
        load_dataset("usps", tmp_path)


def test_a_truncated_file_is_refused(tmp_path: Path, pixels: np.ndarray) -> None:
    whole = bz2.compress(libsvm(pixels, np.arange(10)))
    (tmp_path / "usps.bz2").write_bytes(whole[:100])
    (tmp_path / "usps.t.bz2").write_bytes(whole)
    with pytest.raises(DatasetError, match=r"usps\.bz2: cannot be read"):
        load_dataset("usps", tmp_path)


def test_the_real_one(usps: Dataset) -> None:
    assert usps.train.images.shape == (7_291, 16, 16)
    assert usps.test.images.shape == (2_007, 16, 16)
    assert np.bincount(usps.test.labels).tolist() == [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]


def test_both_files_give_the_same_images(usps: Dataset, tmp_path: Path) -> None:
    values = usps.train.images[:20] / 255 * 2 - 1
    for name in ("usps.bz2", "usps.t.bz2"):
        (tmp_path / name).write_bytes(bz2.compress(libsvm(values.round(3), usps.train.labels[:20])))
    again = load_dataset("usps", tmp_path)
    assert again.train.sha256 == usps.train.take(np.arange(20)).sha256


@given(array=ARRAYS)
def test_every_type_and_shape_survives_the_round_trip(to_idx: ToIdx, array: NDArray[Any]) -> None:
    again = parse_idx(to_idx(array))
    assert again.dtype == array.dtype  # native byte order, though the file is big-endian
    assert again.shape == array.shape
    np.testing.assert_array_equal(again, array)


@given(array=ARRAYS, data=st.data())
def test_every_truncation_is_noticed(to_idx: ToIdx, array: NDArray[Any], data: st.DataObject) -> None:
    content = to_idx(array)
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(DatasetError, match="download the file again"):
        parse_idx(content[:cut])


@settings(max_examples=300)
@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda tail: b"\0\0\x08" + tail))
def test_any_bytes_are_an_array_or_a_dataset_error(content: bytes) -> None:
    with suppress(DatasetError):
        parse_idx(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x08", "not an IDX file"),
        (b"\x01\0\x08\x01\0\0\0\0", "not an IDX file"),
        (b"\0\0\x0a\x01\0\0\0\0", "not an IDX file"),  # 0x0A is no type
        (b"<!DOCTYPE html>", "not an IDX file"),
        (b"\0\0\x08\x03\0\0\0\x01", "the IDX header is truncated"),
        (b"\0\0\x08\x01\0\0\0\x02\x07", "9 bytes, where the IDX header promises 10"),
        (b"\0\0\x08\x01\0\0\0\x02\x07\x08\x09", "11 bytes, where the IDX header promises 10"),
        (b"\0\0\x08\x02" + struct.pack(">2I", 2**32 - 1, 2**32 - 1), "promises 18446744065119617037"),
        (b"\0\0\x08\xff" + struct.pack(">255I", *[1] * 255) + b"\x07", "an impossible IDX shape"),
    ],
)
def test_idx_what_is_wrong_is_said(content: bytes, message: str) -> None:
    with pytest.raises(DatasetError) as caught:
        parse_idx(content, where="digits.gz")
    assert caught.value.problem.startswith("digits.gz: ")
    assert message in caught.value.problem


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_files_may_be_gzipped_or_not(tmp_path: Path, to_idx: ToIdx, pack: Callable[[bytes], bytes]) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path = tmp_path / "images"  # the content decides, not the name
    path.write_bytes(pack(to_idx(array)))
    assert np.array_equal(read_idx(path), array)


@given(data=st.data())
def test_a_damaged_gzip_gives_an_error_never_other_values(
    tmp_path_factory: pytest.TempPathFactory, to_idx: ToIdx, data: st.DataObject
) -> None:
    array = np.arange(200, dtype=np.uint8)
    content = bytearray(gzip.compress(to_idx(array), mtime=0))
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[position:]
    else:
        content[position] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.gz"
    path.write_bytes(content)
    try:
        assert np.array_equal(read_idx(path), array)  # a flipped time stamp or padding bit is no damage
    except DatasetError as error:
        assert "damaged.gz" in error.problem  # noqa: PT017


def test_a_truncated_gzip_is_refused(tmp_path: Path, to_idx: ToIdx) -> None:
    path = tmp_path / "half.gz"
    path.write_bytes(gzip.compress(to_idx(np.arange(200, dtype=np.uint8)))[:100])
    with pytest.raises(DatasetError, match=r"half\.gz: cannot be read"):
        read_idx(path)


def test_an_absent_file_is_a_dataset_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_idx(tmp_path / "absent")
