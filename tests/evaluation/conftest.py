from __future__ import annotations

from pathlib import Path

import pytest

from kalamos.model_file import open_model
from kalamos.recognizer import Recognizer


@pytest.fixture(scope="session")
def reader(tiny_model: Path) -> Recognizer:
    return Recognizer(open_model(tiny_model))
