"""The HTTP API's routes: `POST /v1/predict`, `GET /v1/models`, `GET /health`, and `/docs`."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from kalamos._version import __version__
from kalamos.answering import AnswerRule
from kalamos.app.batching import BatchScheduler
from kalamos.app.bodies import BodyReader
from kalamos.app.guard import API_PATHS
from kalamos.app.limits import Limits
from kalamos.app.manual import openapi_html, requested_address
from kalamos.app.models import ModelRegistry
from kalamos.app.refusals import APIError
from kalamos.app.rows import answer_json, described
from kalamos.app.schema import Answer, Failure, Health, Models
from kalamos.app.uploads import PredictRequest, read_form, read_json
from kalamos.errors import ModelError, ModelNotFoundError, UsageError
from kalamos.predict_options import PredictOptions

__all__ = ["add_api"]

PREDICT_ROUTE: Final = "/v1/predict"

MAX_INLINE_PARSE_BYTES: Final = 64 * 1024
"""Bytes that are parsed at once; the event loop does not wait for more."""

FORM_TYPE: Final = "multipart/form-data"
JSON_TYPE: Final = "application/json"

ERROR_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    408: {"description": "The request came too slowly."},
    413: {"description": "Too many bytes, images or parts."},
    415: {"description": "Neither a form nor JSON_TYPE, or compressed."},
    422: {"description": "An unknown field, a value out of range, no image, no such model."},
    429: {"description": "Too much to do: wait for `Retry-After` seconds."},
    503: {"description": "The model cannot be opened."},
    504: {"description": "Reading took too long."},
}


def add_api(app: FastAPI, registry: ModelRegistry, limits: Limits, scheduler: BatchScheduler) -> None:
    """Add the routes, over one registry of models and one scheduler."""
    bodies = BodyReader(limits)

    @app.post(
        PREDICT_ROUTE,
        response_model=Answer,
        responses={status: {**told, "model": Failure} for status, told in ERROR_RESPONSES.items()},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    FORM_TYPE: {"schema": {"$ref": "#/components/schemas/Form"}},
                    JSON_TYPE: {"schema": {"$ref": "#/components/schemas/JsonRequest"}},
                },
            }
        },
    )
    async def predict(request: Request) -> Response:
        """Read the characters on images: one row an image, in the order they were sent.

        An image that cannot be read is a row with its error and the error's code; the others are read.
        """
        kind = _content_kind(request)
        scheduler.admit()
        async with bodies.read(request) as body:
            wish = await _parsed(kind, body, request, limits)
            del body
            model = wish.model or registry.default
            options = _checked_options(registry, model, wish)
            try:
                predictions = await scheduler.read(model, wish.images, options, request.receive)
            except ModelError as error:
                # Its message names the file.
                raise APIError(503, "model_unusable", f"the model {model!r} cannot be used") from error
        answer = answer_json(
            model, wish.images, predictions, top_k=options.top_k, removed=options.charset is not None
        )
        return Response(answer, media_type=JSON_TYPE)

    @app.get("/v1/models", response_model=Models)
    async def models() -> Models:
        """The models there are, and what each says of itself."""
        return Models(
            default=registry.default,
            models=[described(name, registry.spec(name)) for name in registry.names()],
        )

    @app.get("/health", response_model=Health)
    async def health() -> Health:
        """Whether the server answers, and how much it has to do."""
        return Health(status="ok", version=__version__, waiting=scheduler.waiting, queue=limits.queue)

    @app.get("/docs", include_in_schema=False)
    async def manual(request: Request) -> HTMLResponse:
        return HTMLResponse(openapi_html(request.app.openapi(), limits, requested_address(request.scope)))

    # Found first, and called without what FastAPI does for parameters, which there are none of: half the
    # cost of a small request. FastAPI's own route tells its document.
    app.router.routes.insert(0, Route(PREDICT_ROUTE, predict, methods=["POST"]))
    _close_api_paths(app)


def _close_api_paths(app: FastAPI) -> None:
    """Answer for every path of the API's, with any method: the page, which takes all others, comes behind."""
    methods: defaultdict[str, set[str]] = defaultdict(set)
    for route in app.router.routes:
        path = getattr(route, "path", "")
        if path.startswith(API_PATHS):
            methods[path] |= getattr(route, "methods", None) or set()
    app.router.routes += [Route(path, _NotHere(allowed)) for path, allowed in methods.items()]
    app.router.routes += [Route(f"{start}{{rest:path}}", _NotHere(())) for start in API_PATHS]


class _NotHere:
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
        raise APIError(
            422, "unknown_field", "options in the address are not looked at", remedy="send them in the body"
        )
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {FORM_TYPE, JSON_TYPE}:
        raise APIError(
            415,
            "unsupported_media_type",
            "the request's body is neither a form nor JSON_TYPE",
            remedy=f"send it as {FORM_TYPE} or {JSON_TYPE}",
            headers={"Accept": f"{FORM_TYPE}, {JSON_TYPE}"},
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise APIError(
            415, "unsupported_encoding", "the request's body is compressed", remedy="send it as it is"
        )
    return kind


async def _parsed(kind: str, body: bytes, request: Request, limits: Limits) -> PredictRequest:
    def parse() -> PredictRequest:
        if kind == JSON_TYPE:
            return read_json(body, most=limits.images)
        return read_form(body, request.headers["content-type"], most=limits.images)

    return parse() if len(body) <= MAX_INLINE_PARSE_BYTES else await asyncio.to_thread(parse)


def _checked_options(registry: ModelRegistry, model: str, wish: PredictRequest) -> PredictOptions:
    """The options, checked against what the model can do."""
    try:
        rule = AnswerRule.for_model(registry.spec(model), wish.options)
    except ModelNotFoundError as error:
        raise APIError(422, "unknown_model", error.problem, remedy=error.remedy) from None
    except UsageError as error:
        raise APIError(422, "invalid_option", error.problem, remedy=error.remedy) from None
    return replace(wish.options, top_k=rule.top_k)
