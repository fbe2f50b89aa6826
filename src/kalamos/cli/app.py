"""`kalamos app`: the page and the HTTP API, on this machine only unless --host says otherwise."""

from __future__ import annotations

import ipaddress
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kalamos.cli._shared import MODEL_NAME
from kalamos.errors import require_extra

if TYPE_CHECKING:
    from fastapi import FastAPI

    from kalamos.app.batching import ModelRegistry
    from kalamos.app.errors import Limits
    from kalamos.app.visits import VisitLimits


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=7860,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--api-only", is_flag=True, help="Serve the HTTP API without the page.")
@click.option(
    "-m",
    "--model",
    "models",
    type=MODEL_NAME,
    multiple=True,
    help="A shipped model or a file; the first is the default.  [repeatable; default: all shipped]",
)
@click.option(
    "--allow-host",
    "names",
    multiple=True,
    metavar="NAME",
    help="Another host name of the server, for example behind a proxy.  [repeatable]",
)
@click.option(
    "--max-upload-mb",
    type=click.IntRange(1, 4096),
    default=20,
    show_default=True,
    help="Maximum size of a request.",
)
@click.option(
    "--max-images", type=click.IntRange(1), default=256, show_default=True, help="Maximum images per request."
)
@click.option(
    "--queue", type=click.IntRange(1), default=1024, show_default=True, help="Maximum images waiting, in all."
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 3600, min_open=True),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="Maximum time for a request to arrive, and for it to be answered.",
)
@click.option(
    "--visit-minutes",
    type=click.FloatRange(0, 60 * 24 * 30, min_open=True),
    default=120,
    show_default=True,
    metavar="MINUTES",
    help="Delete a visitor's uploads after this time without a request.",
)
@click.option(
    "--max-visits",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Maximum visitors of the page at once.",
)
@click.option(
    "--visit-mb",
    type=click.IntRange(1),
    default=400,
    show_default=True,
    help="Maximum size of one visitor's files.",
)
@click.option(
    "--all-visits-mb",
    type=click.IntRange(1),
    default=4096,
    show_default=True,
    help="Maximum size of all visitors' files.",
)
@click.option(
    "--allow-model-upload/--no-model-upload",
    default=None,
    help="Whether visitors of the page may upload model files.  [default: only if the address is this "
    "computer's own and there is no --allow-host]",
)
@click.option(
    "--corrections",
    type=click.Path(path_type=Path),
    default=Path("corrections"),
    show_default=True,
    help="Folder for images corrected on the page.",
)
@click.option("-q", "--quiet", is_flag=True, help="Log only failures, not requests.")
def app(
    host: str,
    port: int,
    api_only: bool,
    models: tuple[str, ...],
    names: tuple[str, ...],
    max_upload_mb: int,
    max_images: int,
    queue: int,
    timeout: float,
    visit_minutes: float,
    max_visits: int,
    visit_mb: int,
    all_visits_mb: int,
    allow_model_upload: bool | None,
    corrections: Path,
    quiet: bool,
) -> None:
    """Draw, upload, look inside and correct in the browser; and an HTTP API for programs.

    Listens on this machine only, unless --host says otherwise. There is no login: anyone who can reach the
    address can use it. docs/app.md says what is safe to expose, and how. Ctrl-C ends it.
    """
    _require_app(api_only)
    from kalamos.app.batching import ModelRegistry
    from kalamos.app.errors import Limits
    from kalamos.app.server import bind, server_for
    from kalamos.app.visits import VisitLimits, app_folder

    limits = Limits(
        upload_bytes=max_upload_mb * 2**20,
        images=min(max_images, queue),
        queue=queue,
        seconds=timeout,
    )
    visit_limits = VisitLimits(
        idle_seconds=60 * visit_minutes,
        visits=max_visits,
        visit_bytes=visit_mb * 2**20,
        total_bytes=all_visits_mb * 2**20,
    )
    registry = ModelRegistry(models or None)
    _log_to_stderr(quiet)
    with bind(host, port) as listener, app_folder() as folder:
        paged = None
        if not api_only:
            local = _is_for_this_computer(host, names)
            takes_models = local if allow_model_upload is None else allow_model_upload
            paged = _Paged(corrections, folder, visit_limits, model_upload=takes_models, local=local)
        application = _application(registry, limits, paged, _hosts(host, names))
        address = _address(*listener.getsockname()[:2])

        def ready() -> None:
            _print_address(address, api_only=api_only, local=_is_loopback(host))

        try:
            server = server_for(
                application, shutdown_timeout=timeout, ready=ready, ending=application.state.end_page
            )
            server.run(sockets=[listener])
        except KeyboardInterrupt:  # the way to end it
            print("ended", file=sys.stderr)


def _require_app(api_only: bool) -> None:
    wanted = ("fastapi", "uvicorn", "python_multipart", *(() if api_only else ("gradio",)))
    require_extra("app", wanted)


@dataclass(frozen=True)
class _Paged:
    """What the page needs besides the API."""

    corrections: Path
    """The folder for corrections and models made from them."""
    folder: Path
    """The folder for uploads."""
    limits: VisitLimits
    model_upload: bool
    local: bool
    """Whether only this computer can reach the page."""


def _application(
    registry: ModelRegistry, limits: Limits, paged: _Paged | None, hosts: frozenset[str] | None
) -> FastAPI:
    from kalamos.app.api import create_app

    if paged is None:
        return create_app(registry, limits, hosts=hosts)
    # Uploads are deleted with the server, and lie in a folder that only this user can read. Gradio reads
    # these variables when it is imported.
    os.environ["GRADIO_TEMP_DIR"] = str(paged.folder)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    from kalamos.app.page import build_page

    page = build_page(registry, limits, paged.corrections, local=paged.local, model_upload=paged.model_upload)
    return create_app(registry, limits, page, hosts=hosts, visit_limits=paged.limits)


def _hosts(host: str, names: tuple[str, ...]) -> frozenset[str] | None:
    """Return the host names that the server accepts; None for any, if others are meant to reach it."""
    from kalamos.app.security import LOOPBACK_HOSTS

    if names or _is_loopback(host):
        return LOOPBACK_HOSTS | {host.lower(), *map(str.lower, names)}
    return None


def _is_for_this_computer(host: str, names: tuple[str, ...]) -> bool:
    """Return whether only this computer can reach the server, not even through a proxy (--allow-host)."""
    return _is_loopback(host) and not names


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _print_address(address: str, *, api_only: bool, local: bool) -> None:
    what = "HTTP API" if api_only else "page and HTTP API"
    print(f"kalamos {what}: {address}  (manual: {address}/docs; Ctrl-C ends it)", flush=True)
    if not local:
        print("no login: anyone who can reach this machine can use it", file=sys.stderr)


def _log_to_stderr(quiet: bool) -> None:
    from kalamos.app.server import PlainFormatter

    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(handlers=[handler], level=logging.ERROR)
    if not quiet:
        logging.getLogger("kalamos.app").setLevel(logging.INFO)
