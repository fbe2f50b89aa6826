"""The IDX format of the MNIST family (http://yann.lecun.com/exdb/mnist, LeCun et al. 1998)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import DatasetError

__all__ = ["gunzip", "parse_idx", "read_idx"]

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
