"""JPEG files (ITU-T T.81): segments are walked, and so is the scan data, up to the end marker.

Decoders fill what a truncated JPEG lacks with grey, so its completeness is checked here. Whether the bits of
a scan are intact only decoding tells: libjpeg then fills in too, and prints a line on standard error, which
the command line and the app keep from the terminal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

from kalamos.errors import ImageTimeoutError
from kalamos.images.headers import ImageHeader, damaged, exif_orientation, truncated, unsupported

__all__ = ["MAX_SEGMENTS", "MAX_WORK", "SIGNATURE", "JpegFile", "inspect_jpeg"]

SIGNATURE = b"\xff\xd8\xff"

MAX_SEGMENTS = 16_384
"""Markers in one file, restarts not counted. Photographs have ten to some hundred."""

MAX_WORK = 25_000_000
"""Pixels times scans that are decoded in this process: about 0.3 s. A photograph has one scan, or ten if it
is progressive."""

MAX_SCANS = 64
"""Scans of a file that is decoded in this process."""

MAX_SCAN_WORK = 1 << 30
"""Pixels times scans that are decoded at all: 50 million pixels in 21 scans, of which programs write ten."""

_U16 = Struct(">H").unpack_from
_SOF = Struct(">BHHB").unpack_from

# Stuffed zeros and restart markers belong to the scan; any other marker ends it. A marker may have fill
# bytes before it, of which the last will do: a pattern that begins with one plain byte is searched 50
# times as fast as one that begins with a repeat, and this goes through every byte of a photograph.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_RESTART = re.compile(rb"\xff([\xd0-\xd7])", re.DOTALL)
_TEM, _SOI, _EOI, _SOS, _DQT, _DRI = 0x01, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD
_APP0, _APP1, _APP14, _DHT, _COM = 0xE0, 0xE1, 0xEE, 0xC4, 0xFE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_READABLE_FRAMES = frozenset({_BASELINE, _EXTENDED, _PROGRESSIVE, 0xC9, 0xCA})
"""Baseline, extended and progressive; the others are lossless or hierarchical."""
_ORDINARY = frozenset({_DHT, _DQT, _DRI, _SOS, _COM, *range(0xE0, 0xF0), _BASELINE, _EXTENDED, _PROGRESSIVE})
"""Segments that files of cameras, scanners and programs are made of."""
_WHOLE_BLOCK = (0, 63, 0)
"""Ss, Se, and Ah with Al, of a scan that is not progressive."""


class JpegFile(NamedTuple):
    """What a walk over the segments has found."""

    header: ImageHeader
    harmless: bool
    """libjpeg will decode it quickly, and its structure gives it nothing to complain of."""


@dataclass(slots=True)
class _Walk:
    """What the segments have said so far."""

    data: bytes
    where: str
    code: int = 0
    """The kind of frame, 0 before there is one."""
    width: int = 0
    height: int = 0
    components: dict[int, tuple[int, int]] = field(default_factory=dict)
    """The sampling factors, across and down, of each component by its identifier."""
    count: int = 0
    """How many components there are."""
    orientation: int | None = None
    scans: int = 0
    restart: int = 0
    """Blocks (MCU) between two restart markers; 0 for none."""
    open_scan: tuple[int, list[int]] | None = None
    """Where the bits of a scan with restart markers begin, and its components, until the next marker."""
    ordinary: bool = True
    """All segments so far are what libjpeg expects."""
    bits: dict[tuple[int, int], int] = field(default_factory=dict)
    """The lowest bit known of each coefficient (component, index) of a progressive picture."""

    def frame(self, position: int, code: int, length: int) -> None:
        if self.code:
            self.ordinary = False
            return
        self.width, self.height, self.count = _frame(self.data, position, code, length, self.where)
        self.code = code
        body = self.data[position + 8 : position + length]
        for identifier, sampling, _ in zip(body[::3], body[1::3], body[2::3], strict=False):
            self.components[identifier] = sampling >> 4, sampling & 15
        factors = [factor for pair in self.components.values() for factor in pair]
        self.ordinary &= len(body) == 3 * self.count == 3 * len(self.components)
        self.ordinary &= all(1 <= factor <= 4 for factor in factors) and self.count in (1, 3)

    def scan(self, position: int, length: int) -> None:
        """Look at a scan's header, and at the restart markers between its start and the next marker."""
        self.scans += 1
        self.ordinary &= self.scans <= MAX_SCANS
        if not self.ordinary:
            return
        body = self.data[position + 2 : position + length]
        chosen = list(body[1:-3:2])
        known = all(component in self.components for component in chosen)
        if not self.code or len(body) < 6 or len(body) != 4 + 2 * body[0] or not known:
            self.ordinary = False
        self.ordinary &= self.width * self.height * self.scans <= MAX_WORK
        if not self.ordinary:  # it goes to a worker: what its many scans say does not matter here
            return
        first, last, approximation = body[-3:]
        if self.code == _PROGRESSIVE:
            self._progress(chosen, first, last, approximation >> 4, approximation & 15)
        else:
            # One scan of everything, as all programs write them.
            self.ordinary &= (first, last, approximation) == _WHOLE_BLOCK
            self.ordinary &= self.scans == 1 and len(set(chosen)) == self.count
        self.open_scan = (position + length, chosen) if self.restart else None

    def _progress(self, chosen: list[int], first: int, last: int, high: int, low: int) -> None:
        """Check that a progressive scan goes on where earlier ones stopped; libjpeg complains otherwise."""
        valid = first <= last <= 63 and (last == 0 if first == 0 else len(chosen) == 1)
        if not valid or low > 13 or (high and low != high - 1):
            self.ordinary = False
            return
        for component in chosen:
            if first and (component, 0) not in self.bits:
                self.ordinary = False
            for index in range(first, last + 1):
                self.ordinary &= self.bits.get((component, index), 0) == high
                self.bits[component, index] = low

    def close_scan(self, stop: int) -> None:
        """Check that a scan's restart markers match its blocks in number and order."""
        if self.open_scan is None:
            return
        start, chosen = self.open_scan
        self.open_scan = None
        found = _RESTART.findall(self.data, start, stop)
        self.ordinary &= len(found) == (self._blocks(chosen) - 1) // self.restart
        self.ordinary &= all(code[0] & 7 == index & 7 for index, code in enumerate(found))

    def _blocks(self, chosen: list[int]) -> int:
        """Count the blocks, or groups of blocks (MCU), of a scan of these components."""
        most = [max(pair[axis] for pair in self.components.values()) for axis in (0, 1)]
        across, down = self.components[chosen[0]] if len(chosen) == 1 else (1, 1)
        if len(chosen) == 1:
            columns, rows = -(-self.width * across // most[0]), -(-self.height * down // most[1])
            return -(-columns // 8) * -(-rows // 8)
        return -(-self.width // (8 * most[0])) * -(-self.height // (8 * most[1]))

    def working_bytes(self) -> int:
        """Estimate the bytes that decoding takes: pixels, and all coefficients (16 bits) of several scans."""
        area = self.width * self.height
        pixels = area * (1 if self.count != 4 else 4)
        if self.code not in (_PROGRESSIVE, 0xCA) and self.scans <= 1:
            return pixels
        most = [max((pair[axis] for pair in self.components.values()), default=1) or 1 for axis in (0, 1)]
        return pixels + sum(2 * area * x * y // (most[0] * most[1]) for x, y in self.components.values())


def inspect_jpeg(data: bytes, where: str) -> JpegFile:
    """Walk over all segments of a JPEG; a frame, a scan and the end marker are there when it returns.

    Raises:
        CorruptImageError: truncated, or without a picture.
        UnsupportedImageError: a lossless, hierarchical or 12-bit JPEG.
        ImageTimeoutError: of more scans than its size allows (`MAX_SCAN_WORK`).
    """
    walk = _Walk(data, where)
    position = expected = 2
    for _ in range(MAX_SEGMENTS):
        marker = _MARKER.search(data, position)
        if marker is None:
            raise truncated(where, "JPEG", "the end marker is missing")
        code, position = marker[1][0], marker.end()
        walk.close_scan(marker.start())
        if not walk.scans:  # behind a scan's header there are its bits
            walk.ordinary &= not data[expected : position - 1].strip(b"\xff")
        if code == _EOI:
            break
        if code in (_TEM, _SOI):
            walk.ordinary = False
            expected = position
            continue
        if position + 2 > len(data):
            raise truncated(where, "JPEG", f"it ends inside segment FF{code:02X}")
        (length,) = _U16(data, position)
        if position + length > len(data):
            raise truncated(where, "JPEG", f"it ends inside segment FF{code:02X}")
        _segment(walk, code, position, length)
        _check_work(walk, where)
        position += max(length, 2)
        expected = position
    else:
        raise damaged(where, "JPEG", f"it has more than {MAX_SEGMENTS:,} segments")
    if not (walk.width and walk.scans):
        raise damaged(where, "JPEG", "it holds no picture")
    header = ImageHeader(
        "JPEG",
        walk.width,
        walk.height,
        walk.orientation or 1,
        decoded_bytes=walk.working_bytes(),
        has_luma=walk.count != 4,
    )
    work = walk.width * walk.height * walk.scans
    return JpegFile(header, walk.ordinary and work <= MAX_WORK)


def _check_work(walk: _Walk, where: str) -> None:
    if walk.width * walk.height * walk.scans > MAX_SCAN_WORK:
        raise ImageTimeoutError(
            f"{where}: decoding it takes too long: over {walk.scans - 1:,} scans of "
            f"{walk.width} x {walk.height} pixels",
            remedy="save it anew as an ordinary JPEG",
        )


def _segment(walk: _Walk, code: int, position: int, length: int) -> None:
    data = walk.data
    walk.ordinary &= code in _ORDINARY and length >= 2
    if code in _FRAMES:
        walk.frame(position, code, length)
    elif code == _SOS:
        walk.scan(position, length)
    elif code == _DRI:
        walk.restart = _U16(data, position + 2)[0] if length == 4 else 0
        walk.ordinary &= length == 4
    elif code == _APP0 and data.startswith(b"JFIF\0", position + 2) and length >= 16:
        walk.ordinary &= data[position + 7] == 1  # libjpeg complains of other revisions
    elif code == _APP14 and data.startswith(b"Adobe", position + 2) and length >= 14:
        walk.ordinary &= data[position + 13] <= 2  # and of unknown transforms
    elif code == _APP1 and walk.orientation is None and data.startswith(b"Exif\0", position + 2):
        walk.orientation = exif_orientation(data[position + 2 : position + length])


def _frame(data: bytes, position: int, code: int, length: int, where: str) -> tuple[int, int, int]:
    """Width, height and the number of components."""
    if length < 8:
        raise damaged(where, "JPEG", "its frame header is too short")
    precision, height, width, components = _SOF(data, position + 2)
    if code not in _READABLE_FRAMES:
        raise unsupported(where, "a lossless or hierarchical JPEG", remedy="save it as PNG or plain JPEG")
    if precision != 8:
        raise unsupported(where, f"a {precision}-bit JPEG", remedy="save it as PNG or 8-bit JPEG")
    if components not in (1, 3, 4):
        raise unsupported(where, f"a JPEG of {components} components")
    if not (width and height):
        raise damaged(where, "JPEG", f"its size is {width} x {height} pixels")
    return width, height, components
