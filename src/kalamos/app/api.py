"""The application: the HTTP API's routes, the page above them, and the guards before both.

`/docs` is the OpenAPI document as one page, without scripts, that asks nothing of any other server. Swagger
UI, as fastapi-offline serves it, would need scripts allowed and 2.8 MB, and asks validator.swagger.io for a
badge; it has neither the limits nor examples with this server's address.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, Request
from jinja2 import Environment, PackageLoader, Template
from markupsafe import Markup, escape
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from kalamos._version import __version__
from kalamos.app.batching import BatchScheduler, ModelRegistry
from kalamos.app.errors import APIError, Limits, error_response
from kalamos.app.metrics import OTHER_ROUTE, Metrics, outcome
from kalamos.app.page_api import add_page_routes, checked_rule
from kalamos.app.requests import (
    IMAGE_TYPES,
    JSON_TYPE,
    BodyReader,
    UploadedImage,
    checked_options,
    content_kind,
    read_images,
)
from kalamos.app.scans import FormRegistry
from kalamos.app.schema import (
    Alphabet,
    Answer,
    FormRequest,
    Health,
    JsonRequest,
    Measured,
    Model,
    ModelDetails,
    Models,
    add_token,
    body_schema,
    body_schemas,
    error_code,
    error_responses,
)
from kalamos.app.security import API_PATHS, LOOPBACK_HOSTS, Guard, checked_origin
from kalamos.app.tokens import OPEN_PATHS, TokenGuard
from kalamos.errors import ModelError, ModelNotFoundError, UsageError
from kalamos.model_file import ModelSpec
from kalamos.predictions import Prediction
from kalamos.writers.base import encodable
from kalamos.writers.tables import json_object
from kalamos.zoo import card_path

if TYPE_CHECKING:
    import gradio

    from kalamos.app.visits import VisitLimits

__all__ = ["create_app"]


PREDICT_ROUTE: Final = "/v1/predict"

# Only what a shell takes as it is: people paste the examples.
_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")

_BOUND_WORDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most"}


def create_app(
    readers: ModelRegistry,
    limits: Limits | None = None,
    page: gradio.Blocks | None = None,
    *,
    forms: FormRegistry | None = None,
    hosts: Iterable[str] | None = LOOPBACK_HOSTS,
    visit_limits: VisitLimits | None = None,
    tokens: Sequence[str] = (),
    origins: Iterable[str] = (),
) -> FastAPI:
    """Build the ASGI application of `kalamos app`.

    Args:
        readers: the models.
        limits: the default ones if None.
        page: the page at `/`; None for the API alone.
        forms: the forms that scans can be of; None for none.
        hosts: names, without port, that the server answers to; None for any.
        visit_limits: bounds on what visitors of the page hold; the default ones if None.
        tokens: each request but those for `/health` has to bear one of them; none for an open server.
        origins: sites, such as `https://forms.example`, whose pages may use the API in a browser.

    Raises:
        UsageError: an origin is none, or there are tokens and a page, which browsers could not ask for.

    Returns:
        The application; call its `state.end_page()` when the server is about to end.

    >>> app = create_app(ModelRegistry(["digits"]))
    >>> sorted(app.openapi()["paths"])
    ['/health', '/metrics', '/v1/forms', '/v1/forms/{name}', '/v1/models', '/v1/models/{name}', \
'/v1/predict', '/v1/read']
    """
    if tokens and page is not None:
        raise UsageError("a browser sends no token, so the page could not be used", remedy="leave one out")
    listed = [checked_origin(origin) for origin in origins]
    limits = limits or Limits()
    scheduler = BatchScheduler(readers, limits)
    metrics = Metrics(lambda: scheduler.waiting, limits.queue)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await scheduler.close()

    app = _Application(
        title="kalamos",
        version=__version__,
        description="Reads handwritten characters: on images of one each, on pages, and on forms with boxes.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.needs_token = bool(tokens)
    add_api(app, readers, limits, scheduler, forms or FormRegistry(), metrics)
    for kind in (APIError, HTTPException, ClientDisconnect):
        app.add_exception_handler(kind, _refused)
    app.state.end_page = lambda: None
    if page is None:
        app.add_route("/", lambda _: RedirectResponse("/docs"))
    else:
        from kalamos.app.page_access import mount_page

        app.state.end_page = mount_page(app, page, limits, visit_limits)
    app.add_middleware(TokenGuard, tokens=tokens)
    # Without origins as well: Gradio, which would allow some, leaves it to the application if it has this.
    # Before the token: a browser asks without one whether it may send it, and its page may see a refusal.
    app.add_middleware(
        CORSMiddleware,
        allow_origins=listed,
        allow_methods=("GET", "POST"),
        allow_headers=("Authorization",),
        allow_private_network=bool(listed),
        expose_headers=("X-Request-ID", "Retry-After") if listed else (),
    )

    routes = _api_routes(app)

    def answered(scope: Scope, status: int, seconds: float) -> None:
        metrics.count_request(routes.get(scope.get("endpoint"), OTHER_ROUTE), status, seconds)

    app.add_middleware(Guard, hosts=hosts, origins=listed, answered=answered)
    return app


class _Application(FastAPI):
    needs_token = False

    def openapi(self) -> dict[str, Any]:
        """Add what FastAPI does not know: the bodies, which it does not read, and the token."""
        if self.openapi_schema is None:
            document = super().openapi()
            document["components"]["schemas"] |= body_schemas()
            if self.needs_token:
                add_token(document, OPEN_PATHS)
            self.openapi_schema = document
        return self.openapi_schema


async def _refused(request: Request, error: Exception) -> Response:
    """Answer every refused request in one form; unforeseen errors are left to the guard."""
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


def add_api(
    app: FastAPI,
    registry: ModelRegistry,
    limits: Limits,
    scheduler: BatchScheduler,
    forms: FormRegistry,
    metrics: Metrics,
) -> None:
    """Add the routes, over one registry of models and one scheduler."""
    bodies = BodyReader(limits)

    @app.post(
        PREDICT_ROUTE,
        response_model=Answer,
        responses=error_responses(),
        openapi_extra=body_schema(FormRequest, JsonRequest, IMAGE_TYPES),
    )
    async def predict(request: Request) -> Response:
        """Read the characters on images: one row per image, in the order they were sent.

        An image that cannot be read is a row with its error and the error's code; the others are read.
        """
        kind = content_kind(request, IMAGE_TYPES)
        scheduler.admit()
        async with bodies.read(request) as body:
            asked = await read_images(request, kind, body, FormRequest, JsonRequest, most=limits.images)
            del body
            fields: Any = asked.fields
            model = fields.model or registry.default
            options = checked_options(fields)
            rule = checked_rule(registry, model, options)
            options = replace(options, top_k=rule.top_k)
            try:
                predictions = await scheduler.read(model, asked.images, options, request.receive)
            except ModelError as error:
                # Its message names the file.
                raise APIError(503, "model_unusable", f"the model {model!r} cannot be used") from error
        metrics.count_images(PREDICT_ROUTE, map(outcome, predictions))
        answer = answer_json(model, asked.images, predictions, top_k=options.top_k, columns=rule.columns)
        return Response(answer, media_type=JSON_TYPE)

    @app.get("/v1/models", response_model=Models)
    async def models() -> Models:
        """List the models, with what each says about itself."""
        return Models(
            default=registry.default,
            models=[described(name, registry.spec(name)) for name in registry.names()],
        )

    @app.get(
        "/v1/models/{name}",
        response_model=ModelDetails,
        responses=error_responses({404: "No model has this name."}, only=True),
    )
    async def model(name: str) -> Response:
        """Tell all that a model says about itself: preparation, sources, figures, licence."""
        try:
            details = detailed(name, registry)
        except ModelNotFoundError as error:
            raise APIError(404, "unknown_model", error.problem, remedy=error.remedy) from None
        # ASCII: what a model's file says can hold half a surrogate pair.
        return Response(json.dumps(details.model_dump()), media_type=JSON_TYPE)

    @app.get(
        "/metrics",
        response_class=PlainTextResponse,
        responses={200: {"description": "Prometheus' text format, or OpenMetrics if `Accept` asks for it."}},
    )
    async def figures(request: Request) -> Response:
        """Tell what was counted: requests, images, latencies, the queue, and the process."""
        text, media_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": media_type})

    @app.get("/health", response_model=Health)
    async def health() -> Health:
        """Tell that the server answers, and how much it has to do."""
        return Health(status="ok", version=__version__, waiting=scheduler.waiting, queue=limits.queue)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        return HTMLResponse(openapi_html(request.app.openapi(), limits, requested_address(request.scope)))

    add_page_routes(app, registry, forms, scheduler, bodies, metrics)
    # Found first, and called without FastAPI's work on parameters, half the cost of a small request: this
    # route has none. FastAPI's own route describes it in the document.
    app.router.routes.insert(0, Route(PREDICT_ROUTE, predict, methods=["POST"]))
    _close_api_paths(app)


def _close_api_paths(app: FastAPI) -> None:
    """Answer every path of the API, with any method: all other paths go to the page."""
    methods: defaultdict[str, set[str]] = defaultdict(set)
    for route in app.router.routes:
        path = getattr(route, "path", "")
        if path.startswith(API_PATHS):
            methods[path] |= getattr(route, "methods", None) or set()
    app.router.routes += [Route(path, _NotHere(allowed)) for path, allowed in methods.items()]
    app.router.routes += [Route(f"{start}{{rest:path}}", _NotHere(())) for start in API_PATHS]


def _api_routes(app: FastAPI) -> dict[Any, str]:
    """Return the API's routes as they are declared, such as `/v1/forms/{name}`, by what answers them."""
    routes = [route for route in app.router.routes if isinstance(route, Route)]
    return {
        route.endpoint: route.path
        for route in routes
        if route.path.startswith(API_PATHS) and not isinstance(route.endpoint, _NotHere)
    }


class _NotHere:
    """An ASGI application that answers 405 if other methods are allowed, else 404."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = ", ".join(sorted(allowed))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        if self._allowed:
            raise HTTPException(405, headers={"Allow": self._allowed})
        raise HTTPException(404)


def answer_json(
    model: str,
    uploads: Sequence[UploadedImage],
    predictions: Sequence[Prediction],
    *,
    top_k: int,
    columns: Sequence[str] = (),
) -> bytes:
    """Return a `schema.Answer`, its rows written as `kalamos predict -f json` writes them.

    Raises:
        APIError: 503, a confidence is not a number, which JSON cannot write.

    >>> from kalamos.predictions import Candidate
    >>> read = Prediction("7", 0.998, (Candidate("7", 0.998),))
    >>> image = UploadedImage(b"", "7.png", "7.png")
    >>> print(answer_json("digits", [image], [read], top_k=1).decode())
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
        f"{json_object(replace(prediction, path=upload.name), top_k, columns)[:-1]}, "
        f'"code": {json.dumps(error_code(prediction.error))}}}'
        for upload, prediction in zip(uploads, predictions, strict=True)
    ]
    results = ",\n".join(rows)
    return f'{{"model": {json.dumps(model)}, "results": [\n{results}\n]}}'.encode()


def described(name: str, spec: ModelSpec) -> Model:
    """Return what `/v1/models` says about a model, without its path."""
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


def detailed(name: str, registry: ModelRegistry) -> ModelDetails:
    """Return what `/v1/models/{name}` says about a model.

    Raises:
        ModelNotFoundError: no model has this name.
    """
    model = registry.spec(name)
    spec, shipped = json.loads(model.to_json()), registry.is_shipped(name)
    if not shipped and spec["training"] is not None:
        del spec["training"]["recipe"]
    card = card_path(name).read_text(encoding="utf-8") if shipped else None
    return ModelDetails(**described(name, model).model_dump(), spec=spec, card=card)


def requested_address(scope: Scope) -> str:
    """Return the address that a request called the server by; behind a proxy, the proxy's if it passes it on.

    Of what a proxy says, `Host` and `X-Forwarded-Proto` are used. Only the client that sent them sees them.

    >>> requested_address({"scheme": "http", "headers": [(b"host", b"localhost:8000")]})
    'http://localhost:8000'
    >>> requested_address({"scheme": "http", "headers": [(b"host", b"a;reboot")], "server": ("::1", 8000)})
    'http://[::1]:8000'
    """
    headers = Headers(scope=scope)
    scheme = headers.get("x-forwarded-proto", scope.get("scheme", "http"))
    host = headers.get("host", "")
    if not _HOST.fullmatch(host):
        name, port = scope.get("server") or ("127.0.0.1", 7860)
        host = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    return f"{'https' if scheme == 'https' else 'http'}://{host}"


def openapi_html(document: dict[str, Any], limits: Limits, address: str = "http://127.0.0.1:7860") -> str:
    """Return an OpenAPI document as HTML: routes, answers, schemas, limits, and a form to try it.

    Args:
        document: of OpenAPI.
        limits: of requests.
        address: of the server, for the examples.

    >>> page = openapi_html({"info": {"title": "T", "version": "1"}, "paths": {}}, Limits())
    >>> "<h1>T 1</h1>" in page, "http-equiv" in page
    (True, False)
    """
    components = document.get("components", {})
    return _template().render(
        info=document["info"],
        paths=document["paths"],
        schemas=components.get("schemas", {}),
        schemes=components.get("securitySchemes"),
        bounds=_BOUND_WORDS,
        limits=limits,
        address=address,
    )


@cache
def _template() -> Template:
    loader = PackageLoader("kalamos.app", "assets")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["code"] = _with_code
    return environment.get_template("docs.html")


def _with_code(text: object) -> Markup:
    """Escape a text, and set what stands between backticks as code."""
    parts = str(text or "").split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(parts)
    )
