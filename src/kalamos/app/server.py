"""The application: the API's routes, the page above them, and the guards before both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse, Response

from kalamos._version import __version__
from kalamos.app.api import add_api
from kalamos.app.batching import BatchScheduler
from kalamos.app.guard import LOOPBACK_HOSTS, Guard
from kalamos.app.limits import Limits
from kalamos.app.models import ModelRegistry
from kalamos.app.refusals import APIError, error_response
from kalamos.app.schema import body_schemas

if TYPE_CHECKING:
    import gradio

    from kalamos.app.visits import VisitLimits

__all__ = ["create_app"]


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
        from kalamos.app.mounting import mount_page

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
