"""Images to put into containers, and containers made by program."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def png() -> bytes:
    """A "1", 28x28, black on white."""
    page = np.full((28, 28), 255, np.uint8)
    page[4:24, 13:16] = 0
    return cv2.imencode(".png", page)[1].tobytes()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is a new one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


TarBytes = Callable[..., bytes]


@pytest.fixture(scope="session")
def tar_bytes() -> TarBytes:
    """`(name, content)` pairs and `TarInfo`s -> a tar archive, compressed if asked for."""

    def build(*members: tuple[str, bytes] | tarfile.TarInfo, mode: str = "w", **options: object) -> bytes:
        sink = io.BytesIO()
        with tarfile.open(fileobj=sink, mode=mode, **options) as archive:  # type: ignore[call-overload]
            for member in members:
                if isinstance(member, tarfile.TarInfo):
                    archive.addfile(member)
                else:
                    name, content = member
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
        return sink.getvalue()

    return build
