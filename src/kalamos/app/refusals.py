"""API errors and their JSON body."""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.responses import Response

from kalamos.errors import KalamosError

__all__ = ["APIError", "error_response"]


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
