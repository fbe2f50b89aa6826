"""The corruptions, one module a family."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from kalamos.shift.catalogue import MNIST_C, Corruption, registered
from kalamos.shift.corruptions import (
    blur,
    camera,
    geometry,
    light,
    marks,
    noise,
    paper,
    pens,
    placement,
    tone,
)

__all__ = [
    "CORRUPTIONS", "blur", "camera", "geometry", "light", "marks", "noise", "paper", "pens", "placement",
    "tone",
]  # fmt: skip

CORRUPTIONS: Final[Mapping[str, Corruption]] = MappingProxyType(
    dict(sorted(registered.items(), key=lambda entry: entry[1].group != MNIST_C))
)
"""By name, MNIST-C's fifteen first."""
