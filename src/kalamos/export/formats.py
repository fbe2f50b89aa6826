"""The formats by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from kalamos.export.base import Format
from kalamos.export.onnx_file import ONNX
from kalamos.export.pickles import FULL, STATE_DICT
from kalamos.export.pt2 import PT2
from kalamos.export.torchscript import TORCHSCRIPT

__all__ = ["FORMATS"]

FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {form.name: form for form in (ONNX, TORCHSCRIPT, PT2, FULL, STATE_DICT)}
)
