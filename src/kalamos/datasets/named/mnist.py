"""MNIST, KMNIST, EMNIST and USPS, and their file formats: IDX, .npz and LIBSVM.

IDX is the format of the MNIST family (http://yann.lecun.com/exdb/mnist, LeCun et al. 1998). The official
files of EMNIST (Cohen et al. 2017) hold every image transposed, and count the letters from 1; both are
corrected here.
"""

from __future__ import annotations

import bz2
import gzip
import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import DIGITS, LATIN_26, LATIN_47, LATIN_62, Alphabet
from kalamos.datasets.dataset import Split
from kalamos.datasets.named.catalogue import NO_LICENCE, Layout, NamedDataset, Parts, register
from kalamos.datasets.sources import open_source
from kalamos.errors import AlphabetError, DatasetError

__all__ = ["ARRANGEMENTS", "parse_idx", "read_arrays", "read_idx"]

IDX_DTYPES: Final = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

_DOWNLOAD_AGAIN: Final = "download the file again"


def read_idx(path: Path) -> NDArray[Any]:
    """Read an IDX file, gzipped or not.

    Raises:
        DatasetError: the file is absent, damaged, or not IDX.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error})", remedy=_DOWNLOAD_AGAIN) from error
    return parse_idx(gunzip(content, where=str(path)), where=str(path))


def gunzip(content: bytes, *, where: str) -> bytes:
    """Unzip bytes if they are gzipped; return others as they are.

    Raises:
        DatasetError: they are damaged.
    """
    try:
        return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{where}: cannot be read ({error})", remedy=_DOWNLOAD_AGAIN) from error


def parse_idx(content: bytes, *, where: str = "the bytes") -> NDArray[Any]:
    """Parse IDX bytes into an array of the shape and type that the header declares, in native byte order.

    >>> parse_idx(bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 9]))
    array([[7, 8, 9]], dtype=uint8)

    Raises:
        DatasetError: no IDX header, or more or fewer bytes than the header promises.
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_DTYPES:
        raise DatasetError(f"{where}: not an IDX file", remedy=_DOWNLOAD_AGAIN)
    rank = content[3]
    start = 4 + 4 * rank
    if len(content) < start:
        raise DatasetError(f"{where}: the IDX header is truncated", remedy=_DOWNLOAD_AGAIN)
    shape = struct.unpack_from(f">{rank}I", content, 4)
    dtype = np.dtype(IDX_DTYPES[content[2]])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise DatasetError(
            f"{where}: {len(content)} bytes, where the IDX header promises {expected}", remedy=_DOWNLOAD_AGAIN
        )
    try:
        values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    except ValueError as error:  # a rank or a size that no array can have
        raise DatasetError(f"{where}: an impossible IDX shape", remedy=_DOWNLOAD_AGAIN) from error
    return values.astype(dtype.newbyteorder("="))


HIRAGANA_10: Final = Alphabet("hiragana-10", tuple("おきすつなはまやれを"))
"""One character for each row of the syllabary, in its modern form; the images show old ones."""

MNIST_FILES: Final = tuple(
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)


def _read_mnist(paths: tuple[Path, ...]) -> Parts:
    train_images, train_labels, test_images, test_labels = paths
    return Parts(_idx_split(train_images, train_labels), _idx_split(test_images, test_labels))


def _idx_split(images: Path, labels: Path) -> Split:
    return Split(read_idx(images), read_idx(labels).astype(np.int64))


MNIST: Final = register(
    NamedDataset(
        name="mnist",
        alphabet=DIGITS,
        train=60_000,
        test=10_000,
        source="LeCun et al. 1998",
        layouts=(Layout(MNIST_FILES, ("mnist", "MNIST/raw", "mnist/raw", "mnist/MNIST/raw")),),
        read=_read_mnist,
        torchvision=("MNIST", "mnist"),
        licence=f"{NO_LICENCE}; Keras, which passes it on, names CC BY-SA 3.0",
    )
)
"""Handwritten digits, 28x28 (LeCun et al. 1998), official files and split."""

KMNIST: Final = register(
    replace(
        MNIST,
        name="kmnist",
        alphabet=HIRAGANA_10,
        source="Clanuwat et al. 2018",
        layouts=(Layout(MNIST_FILES, ("kmnist", "KMNIST/raw", "kmnist/raw", "kmnist/KMNIST/raw")),),
        torchvision=("KMNIST", "kmnist"),
        licence="CC BY-SA 4.0",
    )
)
"""Kuzushiji-MNIST: cursive hiragana of old prints, 28x28 (Clanuwat et al. 2018), official files and split."""

ARRANGEMENTS: Final = {
    "balanced": (LATIN_47, 112_800, 18_800),
    "byclass": (LATIN_62, 697_932, 116_323),
    "bymerge": (LATIN_47, 697_932, 116_323),
    "letters": (LATIN_26, 124_800, 20_800),
    "digits": (DIGITS, 240_000, 40_000),
    "mnist": (DIGITS, 60_000, 10_000),
}
"""Alphabet, training and test images of each; letters of both cases are one class in `letters`, those
that look alike in `balanced` and `bymerge`."""

EMNIST_FOLDERS: Final = ("emnist", "EMNIST/raw", "emnist/gzip", "EMNIST/raw/gzip", "gzip", "")
EMNIST_ARCHIVE_FOLDERS: Final = ("emnist", "EMNIST/raw", "")
MAX_MEMBER_BYTES: Final = 1 << 30
"""The largest of the official files has 550 million bytes when unpacked."""

FileReader = Callable[[str], bytes | None]
"""Maps a file's name, without ".gz", to its bytes, unzipped; to None if there is no such file."""


def _read_emnist(arrangement: str, paths: tuple[Path, ...]) -> Parts:
    if paths[0].suffix != ".zip":
        return _emnist_parts(arrangement, partial(_from_folder, paths[0].parent), str(paths[0].parent))
    with open_source(paths[0]) as archive:
        members = {Path(member).name.removesuffix(".gz"): member for member in archive.members}

        def read(file: str) -> bytes | None:
            member = members.get(file)
            if member is None:
                return None
            return gunzip(archive.read(member, limit=MAX_MEMBER_BYTES), where=member)

        return _emnist_parts(arrangement, read, str(paths[0]))


def _from_folder(folder: Path, file: str) -> bytes | None:
    for path in (folder / f"{file}.gz", folder / file):
        if path.is_file():
            try:
                return gunzip(path.read_bytes(), where=str(path))
            except OSError as error:
                raise DatasetError(f"{path}: cannot be read ({error.strerror})") from error
    return None


def _emnist_parts(arrangement: str, read: FileReader, where: str) -> Parts:
    stem = f"emnist-{arrangement}"
    alphabet = ARRANGEMENTS[arrangement][0]
    mapping = read(f"{stem}-mapping.txt")
    codes = (
        _parse_mapping(mapping, f"{where}/{stem}-mapping.txt")
        if mapping
        else _usual_codes(arrangement, alphabet)
    )
    positions = np.full(256, -1, np.int64)
    for code, label in codes.items():
        try:
            positions[code] = alphabet.index(label)
        except AlphabetError as error:
            raise DatasetError(f"{where}/{stem}-mapping.txt: {code} is said to be {label!r}") from error

    def split(part: str) -> Split:
        images = _emnist_idx(read, f"{stem}-{part}-images-idx3-ubyte", where)
        codes = _emnist_idx(read, f"{stem}-{part}-labels-idx1-ubyte", where)
        labels = positions[codes]
        if (labels < 0).any():
            unknown = codes[labels < 0][0]
            raise DatasetError(f"{where}: {stem}-{part} has a label {unknown}, which stands for no character")
        return Split(np.ascontiguousarray(images.transpose(0, 2, 1)), labels)

    return Parts(split("train"), split("test"))


def _emnist_idx(read: FileReader, file: str, where: str) -> NDArray[Any]:
    content = read(file)
    if content is None:
        raise DatasetError(f"{where}: there is no {file}.gz in it", remedy="download it again")
    values = parse_idx(content, where=f"{where}: {file}")
    rank = 3 if "images" in file else 1
    if values.ndim != rank or values.dtype != np.uint8:
        raise DatasetError(f"{where}: {file} holds {values.dtype} {values.shape}, not EMNIST's")
    return values


def _parse_mapping(mapping: bytes, where: str) -> dict[int, str]:
    """Parse lines of a label, the code point of its character, and perhaps that of its small letter."""
    codes = {}
    for line in filter(bytes.strip, mapping.splitlines()):
        try:
            code, character = map(int, line.split()[:2])
            if not 0 <= code < 256:
                raise ValueError(code)  # noqa: TRY301
            codes[code] = chr(character)
        except (ValueError, OverflowError) as error:
            raise DatasetError(f"{where}: {line!r} is not a label and a code point") from error
    return codes


def _usual_codes(arrangement: str, alphabet: Alphabet) -> dict[int, str]:
    return dict(enumerate(alphabet.labels, start=1 if arrangement == "letters" else 0))


def _emnist_layouts(arrangement: str) -> tuple[Layout, ...]:
    files = tuple(
        f"emnist-{arrangement}-{part}-{kind}-ubyte"
        for part in ("train", "test")
        for kind in ("images-idx3", "labels-idx1")
    )
    return Layout(files, EMNIST_FOLDERS), Layout(("gzip.zip",), EMNIST_ARCHIVE_FOLDERS)


for _arrangement, (_alphabet, _train, _test) in ARRANGEMENTS.items():
    register(
        NamedDataset(
            name=f"emnist-{_arrangement}",
            alphabet=_alphabet,
            train=_train,
            test=_test,
            source="Cohen et al. 2017",
            layouts=_emnist_layouts(_arrangement),
            read=partial(_read_emnist, _arrangement),
            torchvision=("EMNIST", "emnist"),
        )
    )


def read_splits(path: Path) -> tuple[Split, Split]:
    """Read the training and the test split from `train_images`, `train_labels`, `test_images`, `test_labels`.

    Raises:
        DatasetError: the file is absent or damaged, or its arrays are not those of images and labels.
    """
    train = read_arrays(path, "train_images", "train_labels")
    test = read_arrays(path, "test_images", "test_labels")
    return _npz_split(*train), _npz_split(*test)


def read_arrays(path: Path, *keys: str) -> list[NDArray[Any]]:
    """Read the arrays called `keys` from an .npz file, in that order; never unpickled.

    Raises:
        DatasetError: the file is absent or damaged, or lacks one of them.
    """
    try:
        # Opened here: NumPy leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in keys if key in archive}
    except Exception as error:
        # Damage surfaces in several parsers, each with its own exceptions.
        raise DatasetError(f"{path}: cannot be read ({error})", remedy="copy the file again") from error
    for key in keys:
        if key not in arrays:
            raise DatasetError(f"{path}: there is no array {key!r} in it")
    return list(arrays.values())


def _npz_split(images: NDArray[Any], labels: NDArray[Any]) -> Split:
    # Other labels than integers are for Split to refuse, not to be rounded.
    return Split(images, labels.astype(np.int64) if labels.dtype.kind in "iu" else labels)


def _read_emnist_47(paths: tuple[Path, ...]) -> Parts:
    [path] = paths
    classes, balanced = read_arrays(path, "classes", "balanced_test_idx")
    if tuple(classes.tolist()) != LATIN_47.labels:
        raise DatasetError(f"{path}: its classes are not those of EMNIST Balanced")
    train, test = read_splits(path)
    inside = balanced.dtype.kind in "iu" and bool(((balanced >= 0) & (balanced < len(test))).all())
    if balanced.ndim != 1 or not inside:
        raise DatasetError(f"{path}: its balanced_test_idx does not point at test images")
    return Parts(train, test.take(balanced))


EMNIST_47: Final = register(
    NamedDataset(
        name="emnist-47",
        alphabet=LATIN_47,
        train=141_248,
        test=18_800,
        source="Cohen et al. 2017, part of ByMerge",
        layouts=(Layout(("emnist-bymerge47.npz",), ("emnist", "")),),
        read=_read_emnist_47,
        home="the makers of this selection of EMNIST: it has no public address, but all of ByMerge has "
        "(kalamos data get emnist-bymerge)",
    )
)
"""The benchmark "EMNIST-47 balanced": its test split is 400 images per class of the official ByMerge test
(`balanced_test_idx`), its training split all 141,248 training images of the file, about a fifth of
ByMerge's and byte-disjoint from its test. Not the official Balanced split, which is `emnist-balanced`.
"""

USPS_SIDE_PX: Final = 16


def _read_usps(paths: tuple[Path, ...]) -> Parts:
    if paths[0].suffix == ".npz":
        return Parts(*read_splits(paths[0]))
    train, test = paths
    return Parts(_read_libsvm(train), _read_libsvm(test))


def _read_libsvm(path: Path) -> Split:
    """Read lines of a label in 1..10 (for the digits 0 to 9) and 256 times `index:value`, values in [-1, 1].

    Rounded to the nearest grey level, so that they are those of the .npz file.
    """
    try:
        lines = bz2.decompress(path.read_bytes()).split(b"\n")
        table = np.array([line.replace(b":", b" ").split() for line in lines if line.strip()], np.float64)
    except (OSError, EOFError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read ({error})", remedy=_DOWNLOAD_AGAIN) from error
    pixels = table[:, 2::2] if table.ndim == 2 else table
    count = USPS_SIDE_PX**2
    if pixels.shape[1:] != (count,) or not (table[:, 1::2] == np.arange(1, count + 1)).all():
        raise DatasetError(f"{path}: not {USPS_SIDE_PX}x{USPS_SIDE_PX} pixels in LIBSVM's format, in order")
    if not (np.abs(pixels) <= 1).all():
        raise DatasetError(f"{path}: pixels outside of -1 to 1")
    images = np.rint((pixels + 1) / 2 * 255).astype(np.uint8).reshape(-1, USPS_SIDE_PX, USPS_SIDE_PX)
    return Split(images, table[:, 0].astype(np.int64) - 1)


USPS: Final = register(
    NamedDataset(
        name="usps",
        alphabet=DIGITS,
        train=7_291,
        test=2_007,
        source="Hull 1994",
        layouts=(
            Layout(("usps.npz",), ("", "usps")),
            Layout(("usps.bz2", "usps.t.bz2"), ("usps", "USPS", "")),
        ),
        read=_read_usps,
        torchvision=("USPS", "usps"),
    )
)
"""Digits of postal codes from envelopes (Hull 1994), 16x16, bright on black, official split; as arrays or in
LIBSVM's format."""
