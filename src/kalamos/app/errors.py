"""API errors with their JSON body, and the limits of one request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from starlette.responses import Response

from kalamos.errors import KalamosError, UsageError
from kalamos.images.decoding import MAX_PIXELS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["APIError", "Limits", "error_response", "require_positive_fields"]


class APIError(KalamosError):
    """A refused request: an HTTP status, and a code that programs can rely on.

    Args:
        status: of HTTP.
        code: one word for programs.
        problem, remedy: as for any `KalamosError`.
        close: whether the connection ends with the answer.
        retry_after: seconds after which the client should try again.
        headers: more of the answer's headers.

    >>> error = APIError(413, "too_large", "the upload is over 20 MiB", close=True)
    >>> error.status, error.headers
    (413, {'Connection': 'close'})
    """

    def __init__(
        self,
        status: int,
        code: str,
        problem: str,
        *,
        remedy: str = "",
        close: bool = False,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(problem, remedy=remedy)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
        if close:
            self.headers["Connection"] = "close"
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)


def error_response(error: APIError, request_id: str) -> Response:
    """Return the error as JSON: `{"error": {"code", "message", "remedy", "request_id"}}`."""
    content = {
        "code": error.code,
        "message": error.problem,
        "remedy": error.remedy or None,
        "request_id": request_id,
    }
    # ASCII, so that half a surrogate pair which someone sent as a name cannot spoil the answer.
    body = json.dumps({"error": content}).encode()
    return Response(body, error.status, error.headers, media_type="application/json")


def require_positive_fields(limits: DataclassInstance) -> None:
    """Raise `UsageError` for a field of a dataclass of bounds that would refuse everything."""
    for field in fields(limits):
        value = getattr(limits, field.name)
        if not value > 0:
            raise UsageError(
                f"the limit {field.name} = {value!r} would refuse everything",
                remedy="use a positive number",
            )


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what the server takes, for the API and the page alike.

    Raises `UsageError` for a bound that would refuse everything.

    >>> Limits().images <= Limits().queue
    True
    >>> Limits(queue=0)
    Traceback (most recent call last):
    kalamos.errors.UsageError: the limit queue = 0 would refuse everything; use a positive number
    """

    upload_bytes: int = 20 * 2**20
    """Bytes of one request's body."""
    pixels: int = MAX_PIXELS
    """Width x height of one image, seen before it is decoded."""
    images: int = 256
    """Images in one request; at most `queue`."""
    queue: int = 1024
    """Images that may wait or be read at any time, over all requests."""
    seconds: float = 30.0
    """For a request to arrive whole, and again for its images to be read."""

    def __post_init__(self) -> None:
        require_positive_fields(self)
        if self.images > self.queue:
            raise UsageError(
                f"a request of {self.images} images would never fit into a queue of {self.queue}",
                remedy="allow fewer images a request or a longer queue",
            )
