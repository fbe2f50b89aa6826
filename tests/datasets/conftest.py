"""Small datasets on disk: a mapping of names to bytes, as a folder or as a zip archive."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

Files = Mapping[str, bytes]


def _png(value: int = 200, height: int = 6, width: int = 5) -> bytes:
    """An encoded grey image whose pixels all have one value, by which it is known again."""
    return cv2.imencode(".png", np.full((height, width), value, np.uint8))[1].tobytes()


def _folder(path: Path, files: Files) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        target = path / name
        if name.endswith("/"):
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    return path


def _zip(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    return _png


@pytest.fixture
def as_folder(tmp_path: Path) -> Callable[[Files], Path]:
    """Writes files below a new folder `letters`; a name that ends with a slash is an empty folder."""
    return lambda files: _folder(tmp_path / "letters", files)


@pytest.fixture
def as_zip(tmp_path: Path) -> Callable[[Files], Path]:
    """Writes files into `letters.zip`."""
    return lambda files: _zip(tmp_path / "letters.zip", files)


@pytest.fixture(params=["folder", "zip"])
def as_either(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Files], Path]:
    """Both, one after the other."""
    if request.param == "zip":
        return lambda files: _zip(tmp_path / "letters.zip", files)
    return lambda files: _folder(tmp_path / "letters", files)
