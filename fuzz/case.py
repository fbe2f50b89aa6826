"""What a generator makes: one hostile input, and how it is put on disk."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

__all__ = ["INTERESTING", "Case", "Generator", "case_number", "mutated"]

INTERESTING = (0, 1, 2, 3, 7, 0x7F, 0x80, 0xFE, 0xFF)
"""Bytes at which counters and lengths turn over."""


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        kind: what was done, for the report: "png: floods of chunks". One kind differs in numbers alone.
        name: a file's name, whose suffix tells the format.
        content: the file's bytes; of a run folder or of requests a JSON document.
        zeros: zero bytes behind the content, written as a hole: lengths may lie about much without costing
            much.
    """

    kind: str
    name: str
    content: bytes
    zeros: int = 0
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content) + self.zeros

    def write(self, path: Path) -> Path:
        """Put the input in a file."""
        with path.open("wb") as file:
            file.write(self.content)
            if self.zeros:
                file.truncate(self.size)
        return path


class Generator(Protocol):
    """Draws a case from random numbers alone."""

    def __call__(self, rng: random.Random) -> Case:
        """A case; the same for the same state of `rng`."""


def case_number(draw: Generator, family: str, seed: int, number: int) -> Case:
    r"""Case `number` of a family under a seed, whatever was drawn before.

    >>> case_number(lambda rng: Case("k", "n", rng.randbytes(2)), "images", 1, 5).content
    b'X%'
    """
    return draw(random.Random(f"{family}:{seed}:{number}"))


def mutated(rng: random.Random, data: bytes, *, most: int = 8) -> bytes:
    """A few bytes changed, removed, repeated or cut off, without knowledge of the format."""
    buffer = bytearray(data)
    for _ in range(rng.randint(1, most)):
        if not buffer:
            break
        at = rng.randrange(len(buffer))
        stop = min(len(buffer), at + rng.choice((1, 1, 2, 4, 16, 256)))
        match rng.randrange(7):
            case 0:
                buffer[at] ^= 1 << rng.randrange(8)
            case 1:
                buffer[at] = rng.choice(INTERESTING)
            case 2:
                buffer[at:stop] = rng.randbytes(stop - at)
            case 3:
                del buffer[at:stop]
            case 4:
                buffer[at:at] = buffer[at:stop] * rng.choice((1, 2, 64))
            case 5:
                buffer[at:stop] = bytes([rng.choice(INTERESTING)]) * (stop - at)
            case _:
                del buffer[at + 1 :]
    return bytes(buffer)
