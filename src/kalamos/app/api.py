"""The application and its routes.

Predictions and models as the API's JSON.

The HTTP API's routes: `POST /v1/predict`, `GET /v1/models`, `GET /health`, and `/docs`.

The application: the API's routes, the page above them, and the guards before both.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from kalamos._version import __version__
from kalamos.app.batching import BatchScheduler, ModelRegistry
from kalamos.app.errors import APIError, Limits, error_response
from kalamos.app.openapi_page import openapi_html, requested_address
from kalamos.app.requests import BodyReader, PredictRequest, UploadedImage, read_form, read_json
from kalamos.app.schema import Alphabet, Answer, Failure, Health, Measured, Model, Models, body_schemas
from kalamos.app.security import API_PATHS, LOOPBACK_HOSTS, Guard
from kalamos.errors import ModelError, ModelNotFoundError, UsageError
from kalamos.model_file import ModelSpec
from kalamos.postprocessing import AnswerRule
from kalamos.predict_options import PredictOptions
from kalamos.predictions import Prediction
from kalamos.writers.base import encodable
from kalamos.writers.tables import json_object

if TYPE_CHECKING:
    import gradio

    from kalamos.app.visits import VisitLimits

__all__ = ["create_app"]


def answer_json(
    model: str,
    uploads: Sequence[UploadedImage],
    predictions: Sequence[Prediction],
    *,
    top_k: int,
    removed: bool,
) -> bytes:
    """`schema.Answer`, its rows written as `kalamos predict -f json` writes them.

    Raises:
        APIError: 503 where a confidence is no number, which JSON has no way to write.

    >>> from kalamos.predictions import Candidate
    >>> read = Prediction("7", 0.998, (Candidate("7", 0.998),))
    >>> image = UploadedImage(b"", "7.png", "7.png")
    >>> print(answer_json("digits", [image], [read], top_k=1, removed=False).decode())
    {"model": "digits", "results": [
    {"path": "7.png", "label": "7", "confidence": 0.998000, "abstained": false, "error": null, \
"top": [{"label": "7", "confidence": 0.998000}], "code": null}
    ]}
    """
    if not all(isfinite(candidate.confidence) for each in predictions for candidate in each.top):
        raise APIError(
            503, "model_unusable", f"the model {model!r} gave no numbers", remedy="use another model"
        )
    rows = [
        f"{json_object(replace(prediction, path=upload.name), top_k, removed)[:-1]}, "
        f'"code": {_code(prediction)}}}'
        for upload, prediction in zip(uploads, predictions, strict=True)
    ]
    results = ",\n".join(rows)
    return f'{{"model": {json.dumps(model)}, "results": [\n{results}\n]}}'.encode()


def _code(prediction: Prediction) -> str:
    return "null" if prediction.error is None else f'"{prediction.error.summary.replace(" ", "_")}"'


def described(name: str, spec: ModelSpec) -> Model:
    """What `/v1/models` says of a model: nothing of where it lies."""
    return Model(
        name=encodable(name),
        architecture=encodable(spec.architecture),
        parameters=spec.parameters,
        alphabet=Alphabet(name=encodable(spec.alphabet.name), labels=list(spec.alphabet.labels)),
        input_size=spec.input_size,
        min_confidence=spec.min_confidence,
        target_accuracies=[] if spec.selective is None else [p.accuracy for p in spec.selective.points],
        metrics=[
            Measured(
                dataset=encodable(m.dataset),
                split=encodable(m.split),
                n=m.n,
                accuracy=m.accuracy,
                interval=m.interval,
            )
            for m in spec.metrics
        ],
        licence=encodable(spec.licence),
    )


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


def create_app(
    readers: ModelRegistry,
    limits: Limits | None = None,
    page: gradio.Blocks | None = None,
    *,
    hosts: Iterable[str] | None = LOOPBACK_HOSTS,
    visit_limits: VisitLimits | None = None,
) -> FastAPI:
    """The ASGI application of `kalamos app`.

    Args:
        readers: the models.
        limits: the default ones if None.
        page: what is shown at `/`; None leaves the API alone.
        hosts: names, without port, that the server may be called by; None takes any.
        visit_limits: bounds on what visitors of the page hold; the default ones if None.

    Returns:
        It; `state.end_page()` is to be called when the server is about to end.

    >>> app = create_app(ModelRegistry(["digits"]))
    >>> sorted(app.openapi()["paths"])
    ['/health', '/v1/models', '/v1/predict']
    """
    limits = limits or Limits()
    scheduler = BatchScheduler(readers, limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await scheduler.close()

    app = _Application(
        title="kalamos",
        version=__version__,
        description="Reads isolated handwritten characters: images in, one row an image out.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    add_api(app, readers, limits, scheduler)
    for kind in (APIError, HTTPException, ClientDisconnect):
        app.add_exception_handler(kind, _refused)
    app.state.end_page = _nothing
    if page is None:
        app.add_api_route("/", _to_manual, include_in_schema=False)
    else:
        from kalamos.app.page_mount import mount_page

        app.state.end_page = mount_page(app, page, limits, visit_limits)
    # No origin is allowed. Gradio, which would allow some, leaves it to the application if it has this.
    app.add_middleware(CORSMiddleware, allow_origins=())
    app.add_middleware(Guard, hosts=hosts)
    return app


class _Application(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """With the schemas of the bodies, which FastAPI does not read and so does not know."""
        if self.openapi_schema is None:
            document = super().openapi()
            document["components"]["schemas"] |= body_schemas()
            self.openapi_schema = document
        return self.openapi_schema


def _nothing() -> None:
    pass


async def _to_manual() -> RedirectResponse:
    return RedirectResponse("/docs")


async def _refused(request: Request, error: Exception) -> Response:
    """Every refusal in the one form; what nobody foresaw is left to the guard."""
    match error:
        case APIError():
            refusal = error
        case HTTPException(status_code=404):
            refusal = APIError(404, "not_found", "there is nothing here", remedy="see /docs")
        case HTTPException(status_code=405):
            refusal = APIError(
                405, "wrong_method", "not with this method", remedy="see /docs", headers=error.headers
            )
        case HTTPException():
            refusal = APIError(error.status_code, "refused", str(error.detail), headers=error.headers)
        case _:  # the client went away: nobody is there to read this
            refusal = APIError(400, "disconnected", "the client went away")
    return error_response(refusal, request.state.request_id)
