"""The HTTP API's routes: `POST /v1/predict`, `GET /v1/models`, `GET /health`, and `/docs`."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from kalamos._version import __version__
from kalamos.app.batching import Asked, ReadingRoom
from kalamos.app.bodies import Bodies
from kalamos.app.guard import OURS
from kalamos.app.limits import Limits
from kalamos.app.manual import called_by, manual_page
from kalamos.app.models import ModelShelf
from kalamos.app.refusals import RefusedError
from kalamos.app.rows import answer_json, described
from kalamos.app.schema import Answer, Failure, Health, Models
from kalamos.app.uploads import Wish, read_form, read_json
from kalamos.errors import ModelError, ModelNotFoundError, UsageError
from kalamos.reading_options import reading_options

__all__ = ["add_api"]

PREDICT: Final = "/v1/predict"

SMALL_BODY: Final = 64 * 1024
"""Bytes that are parsed at once; the event loop does not wait for more."""

FORM: Final = "multipart/form-data"
JSON: Final = "application/json"

REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    408: {"description": "The request came too slowly."},
    413: {"description": "Too many bytes, images or parts."},
    415: {"description": "Neither a form nor JSON, or compressed."},
    422: {"description": "An unknown field, a value out of range, no image, no such model."},
    429: {"description": "Too much to do: wait for `Retry-After` seconds."},
    503: {"description": "The model cannot be opened."},
    504: {"description": "Reading took too long."},
}


def add_api(app: FastAPI, shelf: ModelShelf, limits: Limits, room: ReadingRoom) -> None:
    """Add the routes, over one shelf of models and one reading room."""
    bodies = Bodies(limits)

    @app.post(
        PREDICT,
        response_model=Answer,
        responses={status: {**told, "model": Failure} for status, told in REFUSALS.items()},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    FORM: {"schema": {"$ref": "#/components/schemas/Form"}},
                    JSON: {"schema": {"$ref": "#/components/schemas/JsonRequest"}},
                },
            }
        },
    )
    async def predict(request: Request) -> Response:
        """Read the characters on images: one row an image, in the order they were sent.

        An image that cannot be read is a row with its error and the error's code; the others are read.
        """
        kind = _content_kind(request)
        room.admit()
        async with bodies.read(request) as body:
            wish = await _parsed(kind, body, request, limits)
            del body
            model = wish.options.model or shelf.default
            asked = _asked(shelf, model, wish)
            try:
                predictions = await room.read(model, wish.images, asked, request.receive)
            except ModelError as error:
                # Its message names the file.
                raise RefusedError(503, "model_unusable", f"the model {model!r} cannot be used") from error
        answer = answer_json(
            model, wish.images, predictions, top_k=asked.top_k, removed=asked.charset is not None
        )
        return Response(answer, media_type=JSON)

    @app.get("/v1/models", response_model=Models)
    async def models() -> Models:
        """The models there are, and what each says of itself."""
        return Models(
            default=shelf.default, models=[described(name, shelf.spec(name)) for name in shelf.names()]
        )

    @app.get("/health", response_model=Health)
    async def health() -> Health:
        """Whether the server answers, and how much it has to do."""
        return Health(status="ok", version=__version__, waiting=room.waiting, queue=limits.queue)

    @app.get("/docs", include_in_schema=False)
    async def manual(request: Request) -> HTMLResponse:
        return HTMLResponse(manual_page(request.app.openapi(), limits, called_by(request.scope)))

    # Found first, and called without what FastAPI does for parameters, which there are none of: half the
    # cost of a small request. FastAPI's own route tells its document.
    app.router.routes.insert(0, Route(PREDICT, predict, methods=["POST"]))
    _close(app)


def _close(app: FastAPI) -> None:
    """Answer for every path of the API's, with any method: the page, which takes all others, comes behind."""
    methods: defaultdict[str, set[str]] = defaultdict(set)
    for route in app.router.routes:
        path = getattr(route, "path", "")
        if path.startswith(OURS):
            methods[path] |= getattr(route, "methods", None) or set()
    app.router.routes += [Route(path, _Refusing(allowed)) for path, allowed in methods.items()]
    app.router.routes += [Route(f"{start}{{rest:path}}", _Refusing(())) for start in OURS]


class _Refusing:
    """An ASGI application that refuses: 405 where other methods are allowed, 404 where there is nothing."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = ", ".join(sorted(allowed))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        if self._allowed:
            raise HTTPException(405, headers={"Allow": self._allowed})
        raise HTTPException(404)


def _content_kind(request: Request) -> str:
    """Which of the two kinds of body this is to be; refused before any of it is read."""
    if request.query_params:
        raise RefusedError(
            422, "unknown_field", "options in the address are not looked at", remedy="send them in the body"
        )
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {FORM, JSON}:
        raise RefusedError(
            415,
            "unsupported_media_type",
            "the request's body is neither a form nor JSON",
            remedy=f"send it as {FORM} or {JSON}",
            headers={"Accept": f"{FORM}, {JSON}"},
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError(
            415, "unsupported_encoding", "the request's body is compressed", remedy="send it as it is"
        )
    return kind


async def _parsed(kind: str, body: bytes, request: Request, limits: Limits) -> Wish:
    def parse() -> Wish:
        if kind == JSON:
            return read_json(body, most=limits.images)
        return read_form(body, request.headers["content-type"], most=limits.images)

    return parse() if len(body) <= SMALL_BODY else await asyncio.to_thread(parse)


def _asked(shelf: ModelShelf, model: str, wish: Wish) -> Asked:
    """The options, checked against what the model can do."""
    options = wish.options
    try:
        spec = shelf.spec(model)
        asked = Asked(options.top_k, options.min_confidence, options.target_accuracy, options.charset)
        checked = reading_options(spec, **asked._asdict())
    except ModelNotFoundError as error:
        raise RefusedError(422, "unknown_model", error.problem, remedy=error.remedy) from None
    except UsageError as error:
        raise RefusedError(422, "invalid_option", error.problem, remedy=error.remedy) from None
    return asked._replace(top_k=checked.top_k)
