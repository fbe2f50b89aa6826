"""Archives: names, bombs, lies of directories, nesting; zip, and tar in gzip, bzip2 and xz."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import warnings
import zipfile
import zlib
from functools import cache

from fuzz.case import Case, mutated
from fuzz.images import draw as draw_image
from fuzz.images.pictures import encoded, long_deflate

__all__ = ["draw", "xz_file"]


def draw(rng: random.Random) -> Case:
    """A zip or tar archive."""
    recipes = {
        _zip: 4,
        _zip_lies: 3,
        _zip_bomb: 0.7,
        _zip_many: 0.3,
        _tar: 4,
        _tar_fields: 3,
        _xz: 2,
        _bomb: 0.5,
    }
    [recipe] = rng.choices(list(recipes), list(recipes.values()))
    return recipe(rng)


NAMES = (
    *(
        "a.png",
        "b/7.png",
        "../../etc/passwd.png",
        "/etc/x.png",
        "C:\\x.png",
        "a\\b.png",
        "x" * 5_000 + ".png",
    ),
    *(
        "\x1b[2J.png",
        "é.png",
        "a\0b.png",
        "=1+1.png",
        " .png",
        "a.png/",
        ".hidden.png",
        "a\nb.png",
        "con.png",
    ),
)


def _content(rng: random.Random) -> bytes:
    if rng.random() < 0.4:
        case = draw_image(rng)
        if case.size < 1_000_000:
            return case.content
    return encoded(rng, ".png") if rng.random() < 0.9 else b""


def _members(rng: random.Random) -> list[tuple[str, bytes]]:
    members = [(rng.choice(NAMES), _content(rng)) for _ in range(rng.randint(0, 5))]
    return members + members[:1] if rng.random() < 0.2 else members


def _zipped(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two members of one name are meant
        for number, (name, content) in enumerate(members):
            archive.writestr(zipfile.ZipInfo(name.replace("\0", "_") or f"{number}.png"), content, method)
    return stream.getvalue()


def _zip(rng: random.Random) -> Case:
    method = rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    data = _zipped(_members(rng), method)
    match rng.randrange(4):
        case 0:
            return Case("zip: bytes changed", "a.zip", mutated(rng, data))
        case 1:
            return Case("zip: nested", "a.zip", _zipped([("in.zip", data), ("in.png", data)]))
        case 2:
            return Case("zip: cut off", "a.zip", data[: rng.randrange(len(data))])
        case _:
            return Case("zip: names", "a.zip", rng.choice((b"", b"junk before")) + data)


def _zip_lies(rng: random.Random) -> Case:
    """Sizes, offsets, flags, methods and checksums of the directory that are not those of the entries."""
    data = bytearray(_zipped(_members(rng) or [("a.png", encoded(rng, ".png"))]))
    at = data.find(b"PK\1\2")
    fields = {8: "H", 10: "H", 16: "I", 20: "I", 24: "I", 28: "H", 30: "H", 32: "H", 42: "I"}
    for _ in range(rng.randint(1, 3)):
        offset, code = rng.choice(list(fields.items()))
        value = rng.choice((0, 1, 9, 12, 14, 93, 99, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)) & (
            0xFFFF if code == "H" else 0xFFFFFFFF
        )
        struct.pack_into("<" + code, data, at + offset, value)
    if rng.random() < 0.3:
        end = data.find(b"PK\5\6")
        struct.pack_into(
            "<HHII",
            data,
            end + 8,
            *(rng.choice((0, 1, 60_000)) for _ in range(2)),
            rng.choice((0, 46, 2**31)),
            rng.randrange(len(data)),
        )
    return Case("zip: directory at odds with entries", "a.zip", bytes(data))


def _zip_bomb(rng: random.Random) -> Case:
    """Members of some kB that unpack to hundreds of megabytes."""
    size = rng.choice((100_000_000, 300_000_000, 2**31))
    packed, name = long_deflate(size), b"a.png"
    fields = struct.pack("<HHHHIIIHH", 0, 8, 0, 33, _crc_of_zeros(size), len(packed), size, len(name), 0)
    entry = b"PK\3\4" + struct.pack("<H", 20) + fields + name + packed
    record = b"PK\1\2" + struct.pack("<HH", 20, 20) + fields + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    count = rng.choice((1, 4))
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, count * len(record), len(entry), 0)
    return Case("zip: bomb", "a.zip", entry + record * count + end)


@cache
def _crc_of_zeros(size: int) -> int:
    block, checksum = bytes(1 << 22), 0
    for at in range(0, size, len(block)):
        checksum = zlib.crc32(block[: size - at], checksum)
    return checksum


def _zip_many(rng: random.Random) -> Case:
    """Very many entries, all of which may be the same bytes."""
    count = rng.choice((2_000, 20_000))
    picture = encoded(rng, ".png")
    return Case(
        "zip: many entries",
        "a.zip",
        _zipped([(f"{number}.txt", b"") for number in range(count)] + [("a.png", picture)]),
    )


def _tarred(rng: random.Random, members: list[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    form = rng.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name.replace("\0", "_"))
            info.type = rng.choice(
                (tarfile.REGTYPE,) * 6 + (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)
            )
            if info.isfile():
                info.size = len(content)
            else:
                info.linkname = "/etc/passwd"
            archive.addfile(info, io.BytesIO(content) if info.isfile() else None)
    return stream.getvalue()


def _packed(rng: random.Random, data: bytes) -> tuple[bytes, str]:
    return rng.choice(
        (
            lambda: (data, "a.tar"),
            lambda: (gzip.compress(data, 1, mtime=0), "a.tar.gz"),
            lambda: (bz2.compress(data, 1), "a.tar.bz2"),
            lambda: (lzma.compress(data, preset=0), "a.tar.xz"),
        )
    )()


def _tar(rng: random.Random) -> Case:
    data = _tarred(rng, _members(rng))
    match rng.randrange(4):
        case 0:
            packed, name = _packed(rng, mutated(rng, data))
        case 1:
            packed, name = _packed(rng, data)
            packed = mutated(rng, packed)
        case 2:
            packed, name = _packed(rng, data[: rng.randrange(len(data))])
        case _:
            packed, name = _packed(rng, data)
    return Case("tar: members and bytes", name, packed)


def _tar_fields(rng: random.Random) -> Case:
    """A header's fields of chance, under a right checksum; extended headers without end."""
    picture = encoded(rng, ".png")
    data = bytearray(_tarred(rng, [("a.png", picture), ("b.png", picture)]))
    if rng.random() < 0.3:
        records = rng.choice(
            (
                b"999999999 path=x\n",
                b"30 GNU.sparse.map=1,2,3,4,5,6\n",
                b"20 size=99999999999\n",
                b"18 GNU.sparse.size=a\n",
            )
        )
        data = bytearray(_header(b"x", len(records) * 100, records * 100)) + data
    elif rng.random() < 0.2:
        data = bytearray(_header(rng.choice((b"x", b"L")), 1, b"a") * 3_000) + data
    else:
        at, size = rng.choice(
            ((0, 100), (100, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (345, 155))
        )
        data[at : at + size] = rng.choice(
            (b"7" * size, b"\xff" * size, bytes(size), b"\x80" + b"\xff" * (size - 1), rng.randbytes(size))
        )
        data[148:156] = b" " * 8
        data[148:156] = b"%06o\0 " % sum(data[:512])
    packed, name = _packed(rng, bytes(data))
    return Case("tar: header fields", name, packed)


def _header(kind: bytes, size: int, content: bytes) -> bytes:
    head = bytearray(512)
    head[:7], head[124:136], head[156:157], head[257:265] = (
        b"./x.png",
        b"%011o\0" % size,
        kind,
        b"ustar\00000",
    )
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + content + bytes(-len(content) % 512)


@cache
def _chunk_of_zeros() -> bytes:
    """2 MiB of zeros as an LZMA2 chunk that may follow any other: it resets the coder, not the dictionary."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 1 << 22}]
    chunk = lzma.compress(bytes(1 << 21), lzma.FORMAT_RAW, filters=filters)
    return bytes([chunk[0] & 0x1F | 0xC0]) + chunk[1:-1]


def xz_file(data: bytes, zeros: int, dictionary: int) -> bytes:
    """An xz file of some bytes (at most 64 KiB) and about so many zeros.

    Args:
        data: stored as it is.
        zeros: behind the data, in steps of 2 MiB; some hundred bytes each.
        dictionary: what the header asks for: 18 is 2 MiB, 28 is 64 MiB, 40 is 4 GiB less one byte.

    >>> len(lzma.decompress(xz_file(b"abcd", 5_000_000, 28)))
    4194308
    """
    times = zeros >> 21
    stored = b"\x01" + struct.pack(">H", len(data) - 1) + data
    payload = stored + _chunk_of_zeros() * times + b"\0"
    flags = b"\0\0"  # no check of the contents
    start = b"\xfd7zXZ\0" + flags + struct.pack("<I", zlib.crc32(flags))
    header = bytes([2, 0, 0x21, 1, dictionary, 0, 0, 0])
    header += struct.pack("<I", zlib.crc32(header))
    sizes = _xz_number(len(header) + len(payload)) + _xz_number(len(data) + (times << 21))
    index = b"\0\x01" + sizes
    index += bytes(-len(index) % 4)
    index += struct.pack("<I", zlib.crc32(index))
    end = struct.pack("<I", len(index) // 4 - 1) + flags
    block = header + payload
    return start + block + bytes(-len(block) % 4) + index + struct.pack("<I", zlib.crc32(end)) + end + b"YZ"


def _xz_number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _xz(rng: random.Random) -> Case:
    """An xz file that asks for a dictionary of up to 4 GiB; or in the older form, or of many streams."""
    data = _tarred(rng, [("a.png", encoded(rng, ".png"))])
    dictionary = rng.choice((18, 28, 34, 37, 38, 39, 40, 40, 41))
    match rng.randrange(6):
        case 0:
            packed = lzma.compress(data, preset=1) * rng.choice((2, 300))
        case 1:
            packed = lzma.compress(data, format=lzma.FORMAT_ALONE, preset=1)
        case 2:
            packed = xz_file(data[:60_000], 0, dictionary)
        case _:
            info = tarfile.TarInfo("a.png")
            info.size = rng.choice((100_000_000, 700_000_000, 2**32))
            packed = xz_file(info.tobuf(), info.size, dictionary)
    return Case("xz: size of the dictionary", "a.tar.xz", packed)


def _bomb(rng: random.Random) -> Case:
    """Members of many zeros, packed."""
    info = tarfile.TarInfo("a.png")
    info.size = rng.choice((100_000_000, 250_000_000, 2**33))
    stored = min(info.size, 400_000_000)
    # A gzip file may have several parts; the first is the header.
    last = struct.pack("<II", _crc_of_zeros(stored), stored)
    packed = (
        gzip.compress(info.tobuf(), mtime=0) + b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + long_deflate(stored) + last
    )
    return Case("tar: bomb", "a.tar.gz", packed)
