"""Thrift's compact protocol, as far as Parquet's headers and footers need it: read, edited, written again.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

__all__ = ["Field", "edited", "read_struct", "write_struct"]

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)


class Field(NamedTuple):
    """One field of a struct: its number, type and value; a list's value is (element type, values)."""

    number: int
    kind: int
    value: Any


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _zigzag(value: int) -> int:
    return (value << 1 if value >= 0 else (-value << 1) - 1) & (1 << 64) - 1


def read_struct(data: bytes, at: int = 0) -> tuple[list[Field], int]:
    """The fields of a struct, and where it ends.

    >>> read_struct(write_struct([Field(1, I32, -3), Field(4, BINARY, b"ab")]))[0]
    [Field(number=1, kind=5, value=-3), Field(number=4, kind=8, value=b'ab')]
    """
    fields: list[Field] = []
    number = 0
    while True:
        head = data[at]
        at += 1
        if not head:
            return fields, at
        if head >> 4:
            number += head >> 4
        else:
            raw, at = _read_varint(data, at)
            number = raw >> 1 ^ -(raw & 1)
        value, at = _read_value(data, at, head & 15)
        fields.append(Field(number, head & 15, value))


def _read_value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    match kind:
        case 1 | 2:
            return kind == TRUE, at
        case 3:
            return data[at], at + 1
        case 4 | 5 | 6:
            raw, at = _read_varint(data, at)
            return raw >> 1 ^ -(raw & 1), at
        case 7:
            return data[at : at + 8], at + 8
        case 8:
            length, at = _read_varint(data, at)
            return data[at : at + length], at + length
        case 9 | 10:
            head, at = data[at], at + 1
            count = head >> 4
            if count == 15:
                count, at = _read_varint(data, at)
            values = []
            for _ in range(count):
                value, at = _read_value(data, at, head & 15)
                values.append(value)
            return (head & 15, values), at
        case 12:
            return read_struct(data, at)
    raise ValueError(f"type {kind}")


def write_struct(fields: list[Field]) -> bytes:
    """The struct as bytes; fields may be out of order, twice, or of a type that is not theirs."""
    out, last = b"", 0
    for number, kind, value in fields:
        if kind in {TRUE, FALSE}:
            kind = TRUE if value else FALSE  # noqa: PLW2901
        step = number - last
        out += bytes([step << 4 | kind]) if 0 < step < 16 else bytes([kind]) + _varint(_zigzag(number))
        out += b"" if kind in {TRUE, FALSE} else _value(kind, value)
        last = number
    return out + b"\0"


def _value(kind: int, value: Any) -> bytes:
    match kind:
        case 1 | 2:
            return bytes([1 if value else 2])
        case 3:
            return bytes([value & 0xFF])
        case 4 | 5 | 6:
            return _varint(_zigzag(value))
        case 7:
            return bytes(value)
        case 8:
            return _varint(len(value)) + value
        case 12:
            return write_struct(value)
    element, values = value
    head = (
        bytes([len(values) << 4 | element])
        if len(values) < 15
        else bytes([0xF0 | element]) + _varint(len(values))
    )
    return head + b"".join(_value(element, each) for each in values)


NUMBERS = (0, 1, -1, 7, 100, 70_000, 2**24, 10**9, 2**31 - 1, -(2**31), 2**40, 2**62)


def edited(rng: random.Random, fields: list[Field], *, share: float = 0.3) -> list[Field]:
    """The struct with one thing changed somewhere: a number, a text, a list, a field left out or repeated."""
    fields = list(fields)
    if not fields:
        return fields
    at = rng.randrange(len(fields))
    number, kind, value = fields[at]
    if kind == STRUCT and rng.random() > share:
        fields[at] = Field(number, kind, edited(rng, value))
        return fields
    if kind == LIST and value[1] and rng.random() > share:
        place = rng.randrange(len(value[1]))
        values = list(value[1])
        values[place] = (
            edited(rng, values[place]) if value[0] == STRUCT else _other(rng, value[0], values[place])
        )
        fields[at] = Field(number, kind, (value[0], values))
        return fields
    match rng.randrange(8):
        case 0:
            del fields[at]
        case 1:
            fields.insert(at, fields[at])
        case 2 if kind == LIST:
            fields[at] = Field(number, kind, (value[0], value[1] * rng.choice((0, 2, 300))))
        case _:
            fields[at] = Field(number, kind, _other(rng, kind, value))
    return fields


def _other(rng: random.Random, kind: int, value: Any) -> Any:
    if kind in {I16, I32, I64}:
        return rng.choice((*NUMBERS, value + 1, value - 1, value * 1_000))
    if kind == BINARY:
        return rng.choice((b"", b"\xff\xfe", b"path", value * 50, rng.randbytes(8)))
    if kind in {TRUE, FALSE}:
        return not value
    return value
