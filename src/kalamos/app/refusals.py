"""A request that is not answered with results, and how its answer looks."""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.responses import Response

from kalamos.errors import KalamosError

__all__ = ["APIError", "error_response"]


class APIError(KalamosError):
    """The whole request is refused: an HTTP status, and a code that programs can rely on.

    >>> APIError(413, "too_large", "the upload is over 20 MiB").status
    413
    """

    def __init__(
        self,
        status: int,
        code: str,
        problem: str,
        *,
        remedy: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(problem, remedy=remedy)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})


def error_response(refusal: APIError, request_id: str) -> Response:
    """The refusal as JSON: `{"error": {"code", "message", "remedy", "request_id"}}`."""
    error = {
        "code": refusal.code,
        "message": refusal.problem,
        "remedy": refusal.remedy or None,
        "request_id": request_id,
    }
    # ASCII, so that half a surrogate pair which someone sent as a name cannot spoil the answer.
    body = json.dumps({"error": error}).encode()
    return Response(body, refusal.status, refusal.headers, media_type="application/json")
