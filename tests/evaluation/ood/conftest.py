from __future__ import annotations

import os
from pathlib import Path

import pytest

from kalamos.recognizer import Recognizer, load


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the real datasets."""
    root = os.environ.get("KALAMOS_DATA")
    if not root or not (Path(root) / "ahcd-csv.zip").is_file():
        pytest.skip("KALAMOS_DATA is not set, or has no ahcd in it")
    return Path(root)


@pytest.fixture(scope="session")
def reader() -> Recognizer:
    return load("digits")
