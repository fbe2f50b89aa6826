"""The real data where it is at hand, each read once; and small files in the official formats."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.datasets import Dataset
from kalamos.datasets.named import arabic, describe
from kalamos.errors import DatasetError

ToIdx = Callable[[NDArray[Any]], bytes]


@pytest.fixture(scope="session", autouse=True)
def decoded_once() -> Iterator[None]:
    """Three of the real datasets are read from one archive of 47,434 images: decode it once."""
    read, cached = arabic.read_members, {}

    def read_members(path: Path, *args: Any, **options: Any) -> Any:
        if path.parent != Path(os.environ.get("KALAMOS_DATA", "")):
            return read(path, *args, **options)
        if path not in cached:
            cached[path] = read(path, *args, **options)
        return cached[path]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arabic, "read_members", read_members)
        yield


def _real(name: str) -> Dataset:
    root = os.environ.get("KALAMOS_DATA")
    if not root:
        pytest.skip("KALAMOS_DATA is not set, so there is no real data to test on")
    entry = describe(name)
    try:
        entry.find(Path(root))
    except DatasetError:
        pytest.skip(f"the folder that KALAMOS_DATA names has no {name} in it")
    dataset = entry(Path(root))
    entry.check(dataset)  # as many images as were published, none passed over
    return dataset


@pytest.fixture(scope="session")
def emnist_47() -> Dataset:
    return _real("emnist-47")


@pytest.fixture(scope="session")
def ahcd() -> Dataset:
    return _real("ahcd")


@pytest.fixture(scope="session")
def hijja() -> Dataset:
    return _real("hijja")


@pytest.fixture(scope="session")
def hijja_28() -> Dataset:
    return _real("hijja-28")


@pytest.fixture(scope="session")
def arabic_letters() -> Dataset:
    return _real("arabic-letters")


@pytest.fixture(scope="session")
def hmbd() -> Dataset:
    return _real("hmbd")


@pytest.fixture(scope="session")
def hmbd_15() -> Dataset:
    return _real("hmbd-15")


@pytest.fixture(scope="session")
def madbase() -> Dataset:
    return _real("madbase")


@pytest.fixture(scope="session")
def ocr_arabic() -> Dataset:
    return _real("ocr-arabic")


@pytest.fixture(scope="session")
def ocr_arabic_punctuation() -> Dataset:
    return _real("ocr-arabic-punctuation")


@pytest.fixture(scope="session")
def usps() -> Dataset:
    return _real("usps")


@pytest.fixture(scope="session")
def write_idx(to_idx: ToIdx) -> Callable[..., None]:
    """Writes an array to an IDX file, gzipped where its name says so."""

    def write(path: Path, array: NDArray[Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = to_idx(array)
        path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)

    return write


def _aspect(images: Any) -> float:
    """Median of height / width of the ink: bright on black, or dark on white."""
    ratios = []
    for image in images:
        ink = image > 128 if image[0, 0] < 128 else image < 128
        if ink.any():
            ratios.append(np.ptp(np.flatnonzero(ink.any(1))) + 1)
            ratios[-1] /= np.ptp(np.flatnonzero(ink.any(0))) + 1
    return float(np.median(ratios))


@pytest.fixture(scope="session")
def aspect() -> Callable[[Any], float]:
    return _aspect
