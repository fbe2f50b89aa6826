"""Write what the page knows of other alphabets' characters: python web/others.py.

Every fifth of the embeddings that `kalamos teach` compares with, as many as one file of 9 MB has room for: a
scale, float32, then int8 [M, D], little-endian.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

import numpy as np

from kalamos.utils.atomic_write import write_bytes
from kalamos.web import ASSETS

STEP: Final = 5


def pack_others() -> bytes:
    """Read and pack the embeddings."""
    with files("kalamos.finetune").joinpath("others.npz").open("rb") as file, np.load(file) as arrays:
        scale, embeddings = arrays["scale"], arrays["embeddings"][::STEP]
    return scale.astype("<f4").tobytes() + embeddings.astype(np.int8).tobytes()


if __name__ == "__main__":
    write_bytes(ASSETS / "others.bin", pack_others())
