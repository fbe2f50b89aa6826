"""Requests with images: the body read within limits, then images and options.

A body is a form, JSON, or the bytes of one file as they are.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from kalamos.app.errors import APIError, Limits
from kalamos.app.schema import IMAGE_FIELDS, MAX_NAME_CHARACTERS, Image, ModelFields
from kalamos.errors import CorruptImageError, UsageError, suggest
from kalamos.images.files import display_name
from kalamos.predict_options import PredictOptions

MAX_HELD_BODIES = 8
"""Bodies of the greatest size that may be held at once; smaller ones share their bytes."""

MAX_DRAIN_BYTES, MAX_DRAIN_SECONDS = 8 * 2**20, 1.0
"""What is still taken, and thrown away, of a refused body. Most clients send the whole body before they look
for an answer, and would see a broken connection in its place."""


FORM_TYPE: Final = "multipart/form-data"
JSON_TYPE: Final = "application/json"

IMAGE_TYPES: Final = ("image/*",)
PAGE_TYPES: Final = (*IMAGE_TYPES, "application/pdf")
"""Of bodies that are one file: of routes for characters, and of those for pages."""

MAX_INLINE_PARSE_BYTES: Final = 64 * 1024
"""Bytes that are parsed at once; the event loop does not wait for more."""

MAX_OTHER_PARTS: Final = 64
"""Form parts and JSON values beyond the images: the options, with room for what will be refused by name."""

MAX_PART_HEADER_BYTES: Final = 8 * 1024
"""Of one header of a form's part."""

_DATA_URL: Final = re.compile(r"data:[\w.+-]*/?[\w.+-]*;base64,")

Fields = TypeVar("Fields", bound=BaseModel)
"""What a request says beside its images."""


class BodyReader:
    """Reads bodies within the limits. For one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the whole body, which counts as held until the block ends: what is made of it lives as long.

        Raises:
            APIError: 413 over the limit, by the bytes that come and not by what the header says; 408 too
                slow; 429 too much of others' is held.
            ClientDisconnect: the client went away.
        """
        body = bytearray()
        try:
            await self._collect(request, body)
        except BaseException:
            self._held -= len(body)
            raise
        whole = bytes(body)
        body.clear()
        try:
            yield whole
        finally:
            self._held -= len(whole)

    async def _collect(self, request: Request, body: bytearray) -> None:
        """Fill `body`; its bytes are counted as held."""
        most, seconds = self._limits.upload_bytes, self._limits.seconds
        # The server has refused a length that is not a number, and cuts a body off where the number ends.
        length = request.headers.get("content-length", "")
        fits, more = not length.isdecimal() or int(length) <= most, True
        try:
            async with asyncio.timeout(seconds):
                while fits and more:
                    message = await request.receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    part, more = message.get("body", b""), message.get("more_body", False)
                    body += part
                    self._held += len(part)
                    fits = len(body) <= most
                    if fits and self._held > MAX_HELD_BODIES * most:
                        raise too_busy("too many uploads at once")
        except TimeoutError:
            raise too_slow(f"the request did not arrive within {seconds:g} s") from None
        if not fits:
            if more:
                await drain_body(request.receive)
            raise too_large(f"the request is larger than {most:,} bytes")


def too_busy(problem: str) -> APIError:
    """Return the error of a request that the client should send again."""
    return APIError(429, "busy", problem, remedy="try again in a moment", retry_after=1)


def too_large(problem: str, remedy: str = "send fewer or smaller images at once") -> APIError:
    """Return the error of a request that is over a bound in bytes."""
    return APIError(413, "too_large", problem, remedy=remedy, close=True)


def too_slow(problem: str, remedy: str = "send less at once") -> APIError:
    """Return the error of a request that takes too long to arrive."""
    return APIError(408, "too_slow", problem, remedy=remedy, close=True)


async def drain_body(receive: Receive) -> None:
    """Take and throw away the rest of a refused body, up to a bound."""
    left = MAX_DRAIN_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(MAX_DRAIN_SECONDS):
            while left > 0:
                message = await receive()
                if not message.get("more_body", False):
                    break
                left -= len(message.get("body", b""))


def content_kind(request: Request, files: Sequence[str]) -> str:
    """Return the body's media type; one that the route does not take is refused before any of it is read.

    Args:
        request: with options in its address only if its body has no place for them.
        files: the media types of a body that is one file, such as `image/*`.

    Raises:
        APIError: 415 another type, or a compressed body; 422 options in the address beside a form or JSON.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {FORM_TYPE, JSON_TYPE} and not any(fnmatchcase(kind, each) for each in files):
        taken = ", ".join((FORM_TYPE, JSON_TYPE, *files))
        raise APIError(
            415,
            "unsupported_media_type",
            "the request's body is neither a form nor JSON nor an image",
            remedy=f"send it as one of {taken}",
            headers={"Accept": taken},
        )
    if kind in {FORM_TYPE, JSON_TYPE} and request.query_params:
        raise APIError(
            422,
            "unknown_field",
            "options in the address are looked at only where the body is an image",
            remedy="send them in the body",
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise APIError(
            415, "unsupported_encoding", "the request's body is compressed", remedy="send it as it is"
        )
    return kind


@dataclass(frozen=True, slots=True)
class UploadedImage:
    """One image as it came."""

    content: bytes | CorruptImageError
    """The file's bytes, or why there are none."""
    name: str | None
    """What the client calls it."""
    where: str
    """What messages call it: its name, else its place in the request."""

    def data(self) -> bytes:
        """Return the file's bytes, or raise why there are none."""
        if isinstance(self.content, CorruptImageError):
            raise self.content
        return self.content


@dataclass(frozen=True, slots=True)
class ImagesRequest(Generic[Fields]):
    """A request with images, checked as far as that goes without a model."""

    images: list[UploadedImage]
    fields: Fields


async def read_images(
    request: Request, kind: str, body: bytes, form: type[Fields], json: type[Fields], *, most: int
) -> ImagesRequest[Fields]:
    """Read a body of any kind: here if that takes a moment, else in a thread.

    Args:
        request: whose address has the options of a body that is one file.
        kind: what `content_kind` says of it.
        body: the whole of it.
        form: the model of the fields beside the images, in a form or in the address.
        json: the model of a body of JSON, with the same fields, and `image` and `images`.
        most: images.

    Raises:
        APIError: 422, or 413 for more than `most` images or very many parts or values.
    """

    def read() -> ImagesRequest[Fields]:
        if kind == JSON_TYPE:
            return read_images_json(body, json, most=most)
        if kind == FORM_TYPE:
            return read_images_form(body, request.headers["content-type"], form, most=most)
        return read_one_file(body, request.query_params, form)

    return read() if len(body) <= MAX_INLINE_PARSE_BYTES else await asyncio.to_thread(read)


def read_one_file(body: bytes, options: QueryParams, kind: type[Fields]) -> ImagesRequest[Fields]:
    r"""Read a body that is one file, with options in the address.

    >>> from kalamos.app.schema import FormRequest
    >>> asked = read_one_file(b"\x89PNG", QueryParams("top_k=1&charset=digits"), FormRequest)
    >>> asked.images[0].content, asked.fields.options().top_k
    (b'\x89PNG', 1)
    """
    fields: dict[str, str] = {}
    for name, value in options.multi_items():
        _add_field(fields, name, value, kind.model_fields)
    return ImagesRequest([_upload(body, None, 0)], _checked_fields(fields, kind))


def read_images_form(
    body: bytes, content_type: str, kind: type[Fields], *, most: int
) -> ImagesRequest[Fields]:
    r"""Read `multipart/form-data` (RFC 7578): files called `image` or `images`, options as fields.

    Args:
        body: the whole of it.
        content_type: with the boundary between the parts.
        kind: the model of the fields beside the images.
        most: images.

    Raises:
        APIError: 422, or 413 for more than `most` images or very many parts.

    >>> from kalamos.app.schema import FormRequest
    >>> head = b'Content-Disposition: form-data; name="image"; filename="7.png"'
    >>> body = b"--x\r\n" + head + b"\r\n\r\n...\r\n--x--\r\n"
    >>> read_images_form(body, "multipart/form-data; boundary=x", FormRequest, most=1).images
    [UploadedImage(content=b'...', name='7.png', where='7.png')]
    """
    parser = _PartsParser(content_type, most + MAX_OTHER_PARTS)
    parser.feed(body)
    parser.close()
    fields: dict[str, str] = {}
    images: list[UploadedImage] = []
    for name, filename, content in parser.parts:
        if name in IMAGE_FIELDS:
            images.append(_upload(content, filename, len(images)))
        else:
            _add_field(fields, name, content, (*IMAGE_FIELDS, *kind.model_fields))
    return ImagesRequest(_counted(images, most), _checked_fields(fields, kind))


def read_images_json(body: bytes, kind: type[Fields], *, most: int) -> ImagesRequest[Fields]:
    r"""Read JSON with images in base64.

    Args:
        body: the whole of it.
        kind: its model, with the fields `image` and `images`.
        most: images.

    Raises:
        APIError: 422, or 413 for more than `most` images or very many values.

    >>> from kalamos.app.schema import JsonRequest
    >>> wish = read_images_json(b'{"image": "iVBORw==", "top_k": 1}', JsonRequest, most=1)
    >>> wish.images[0].content, wish.fields.options().top_k
    (b'\x89PNG', 1)
    """
    # Base64 has none of these, so they count the values before they are all made and held.
    if sum(map(body.count, (b",", b"[", b"{"))) > 8 * (most + MAX_OTHER_PARTS):
        raise APIError(
            413, "too_many_values", "the JSON has too many values", remedy="send fewer images at once"
        )
    try:
        asked = kind.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise _invalid(error, kind) from None
    image, several = (getattr(asked, name) for name in IMAGE_FIELDS)
    if image is not None and several is not None:
        raise APIError(422, "invalid_field", "'image' and 'images' are both given", remedy="leave one out")
    items = several if several is not None else [] if image is None else [image]
    images = [_decoded(item, place) for place, item in enumerate(_counted(items, most))]
    return ImagesRequest(images, asked)


def checked_options(asked: ModelFields) -> PredictOptions:
    """Return the options among a request's fields.

    Raises:
        APIError: 422, they contradict each other.
    """
    try:
        return asked.options()
    except UsageError as error:
        raise APIError(422, "invalid_option", error.problem, remedy=error.remedy) from None


def _counted(images: list[Any], most: int) -> list[Any]:
    if not images:
        raise APIError(422, "no_image", "the request holds no image", remedy="send one or more as 'image'")
    if len(images) > most:
        raise APIError(
            413,
            "too_many_images",
            f"{len(images):,} images are more than the {most:,} that one request may hold",
            remedy="send them in several requests",
        )
    return images


def _upload(content: bytes | CorruptImageError, name: str | None, place: int) -> UploadedImage:
    return UploadedImage(content, name, display_name(name) if name else f"image {place + 1}")


def _decoded(item: str | Image, place: int) -> UploadedImage:
    text, name = (item, None) if isinstance(item, str) else (item.data, item.name)
    if url := _DATA_URL.match(text):
        text = text[url.end() :]
    try:
        # Line ends, as `base64` writes them, are not an error.
        return _upload(base64.b64decode("".join(text.split()), validate=True), name, place)
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        upload = _upload(b"", name, place)
        error = CorruptImageError(
            f"{upload.where}: this is not base64", remedy="encode the image file's bytes"
        )
        return UploadedImage(error, name, upload.where)


def _add_field(fields: dict[str, str], name: str, content: bytes | str, known: Iterable[str]) -> None:
    """Add an option, of a form or of the address, to those before it."""
    if name not in known:
        raise _unknown(name, known)
    if name in fields:
        raise APIError(422, "invalid_field", f"the field {name!r} comes twice", remedy="leave one out")
    try:
        fields[name] = content if isinstance(content, str) else content.decode()
    except UnicodeDecodeError:
        raise APIError(422, "invalid_field", f"the field {name!r} is not UTF-8") from None


def _checked_fields(fields: dict[str, str], kind: type[Fields]) -> Fields:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise _invalid(error, kind) from None


def _unknown(name: str, known: Iterable[str]) -> APIError:
    remedy = suggest(name[:100], known)
    return APIError(422, "unknown_field", f"unknown field {_short(name)!r}", remedy=remedy)


def _invalid(error: ValidationError, model: type[BaseModel]) -> APIError:
    """Return the innermost error that pydantic found, in one line: of a union, the most telling."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    worst = max(found, key=lambda each: len(each["loc"]))
    place, kind = worst["loc"], worst["type"]
    if kind == "json_invalid":
        return APIError(422, "invalid_json", worst["msg"], remedy="send one JSON object in UTF-8")
    if kind == "extra_forbidden":
        name = str(place[-1])
        known = Image.model_fields if len(place) > 1 else dict.fromkeys((*IMAGE_FIELDS, *model.model_fields))
        return _unknown(name, known)
    # pydantic names the member of a union by its type, which is not part of the request.
    where = ".".join(str(part) for part in place if part not in {"str", "Image"})
    return APIError(422, "invalid_field", f"{where}: {worst['msg']}" if where else worst["msg"])


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:40]}…"


class FormParser:
    """Parses `multipart/form-data` as it comes, in pieces of any size; subclasses say what to do with a part.

    Starlette's own `request.form()` would decode a field to text (an image sent without a file name is one),
    takes a form that breaks off for a whole one, and writes files to the disk before anything of them is
    counted.

    Raises `APIError` (422) for what is not such a form.
    """

    def __init__(self, content_type: str) -> None:
        self.complete = False
        """Whether the form's end has come."""
        self._header, self._value, self._disposition = b"", b"", b""
        self._in_part = False
        kind, parameters = parse_options_header(content_type)
        boundary = parameters.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise _not_a_form("the body is not multipart/form-data with a boundary")
        callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": self._add_header,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._start,
            "on_part_data": self._add_data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError as error:
            raise _not_a_form(f"the form cannot be read: {error}") from None

    def start_part(self, name: str, filename: str | None) -> None:
        """Begin a part, known by its head."""
        raise NotImplementedError

    def add_data(self, data: bytes) -> None:
        """Take some of the part's content."""
        raise NotImplementedError

    def end_part(self) -> None:
        """End the part: all of its content has come."""
        raise NotImplementedError

    def feed(self, data: bytes) -> None:
        """Parse a piece of the body."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _not_a_form(f"the form cannot be read: {error}") from None

    def close(self) -> None:
        """Check that the body, which ends here, held a whole form."""
        if not self.complete:
            raise _not_a_form("the form breaks off", remedy="send it whole")

    def _begin(self) -> None:
        self._disposition, self._in_part = b"", False

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]
        self._check_head()

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._check_head()

    def _check_head(self) -> None:
        if len(self._header) + len(self._value) > MAX_PART_HEADER_BYTES:
            raise _not_a_form("a part of the form has a very long head")

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _start(self) -> None:
        _, parameters = parse_options_header(self._disposition)
        if b"name" not in parameters:
            raise _not_a_form("a part of the form has no name")
        filename = parameters.get(b"filename")
        self.start_part(
            parameters[b"name"].decode(errors="replace"),
            None if filename is None else filename.decode(errors="replace"),
        )
        self._in_part = True

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._require_head()
        self.add_data(data[start:end])

    def _end(self) -> None:
        self._require_head()
        self.end_part()
        self._in_part = False

    def _require_head(self) -> None:
        if not self._in_part:
            raise _not_a_form("a part of the form has no head")

    def _finish(self) -> None:
        self.complete = True


def _not_a_form(problem: str, remedy: str = "") -> APIError:
    return APIError(422, "invalid_multipart", problem, remedy=remedy)


class _PartsParser(FormParser):
    """Collects each part's name, file name and content in memory."""

    def __init__(self, content_type: str, max_parts: int) -> None:
        super().__init__(content_type)
        self.parts: list[tuple[str, str | None, bytes]] = []
        self._max_parts = max_parts
        self._name, self._filename = "", ""
        self._pieces: list[bytes] = []

    def start_part(self, name: str, filename: str | None) -> None:
        if len(self.parts) >= self._max_parts:
            raise APIError(413, "too_many_parts", "the form has too many parts", remedy="send fewer at once")
        self._name, self._filename, self._pieces = name, (filename or "")[:MAX_NAME_CHARACTERS], []

    def add_data(self, data: bytes) -> None:
        self._pieces.append(data)

    def end_part(self) -> None:
        self.parts.append((self._name, self._filename or None, b"".join(self._pieces)))
