"""`kalamos app`: the page and the HTTP API, on this machine only unless --host says otherwise."""

from __future__ import annotations

import ipaddress
import logging
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from kalamos.cli._shared import MODEL_NAME
from kalamos.errors import UsageError, require_extra

if TYPE_CHECKING:
    import gradio

    from kalamos.app.batching import ModelRegistry
    from kalamos.app.errors import Limits
    from kalamos.app.scans import FormRegistry


F = TypeVar("F", bound=Callable[..., Any])

_LIMIT_OPTIONS: Final = (
    ("--max-upload-mb", click.IntRange(1, 4096), 20, "MB", "Maximum size of a request."),
    ("--max-images", click.IntRange(1), 256, "N", "Maximum images per request."),
    ("--queue", click.IntRange(1), 1024, "N", "Maximum images waiting, in all."),
    (
        "--timeout",
        click.FloatRange(0, 3600, min_open=True),
        30,
        "SECONDS",
        "Maximum time for a request to arrive, and for it to be answered.",
    ),
    (
        "--visit-minutes",
        click.FloatRange(0, 60 * 24 * 30, min_open=True),
        120,
        "MINUTES",
        "Delete a visitor's uploads after this time without a request.",
    ),
    ("--max-visits", click.IntRange(1), 100, "N", "Maximum visitors of the page at once."),
    ("--visit-mb", click.IntRange(1), 400, "MB", "Maximum size of one visitor's files."),
    ("--all-visits-mb", click.IntRange(1), 4096, "MB", "Maximum size of all visitors' files."),
)


def _limit_options(command: F) -> F:
    for flag, kind, default, metavar, text in reversed(_LIMIT_OPTIONS):
        option = click.option(flag, type=kind, default=default, show_default=True, metavar=metavar, help=text)
        command = option(command)
    return command


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
    "--token-file",
    type=click.Path(path_type=Path),
    envvar="KALAMOS_TOKEN_FILE",
    metavar="FILE",
    help="Answer only requests that bear a token of this file, one a line, or that of the variable "
    "KALAMOS_TOKEN.  [needs --api-only]",
)
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="A site whose pages may use the API in a browser, such as https://forms.example.  [repeatable]",
)
@_limit_options
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
@click.option(
    "--forms",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of form templates (.toml) that scans can be read with, on the page and over HTTP.",
)
@click.option("-q", "--quiet", is_flag=True, help="Log only failures, not requests.")
def app(
    host: str,
    port: int,
    api_only: bool,
    models: tuple[str, ...],
    names: tuple[str, ...],
    token_file: Path | None,
    origins: tuple[str, ...],
    allow_model_upload: bool | None,
    corrections: Path,
    forms: Path | None,
    quiet: bool,
    **limit: float,
) -> None:
    """Draw, upload, look inside, read pages and forms, and correct in the browser; and an HTTP API.

    Listens on this machine only, unless --host says otherwise. Without a token there is no login: anyone who
    can reach the address can use it. docs/app.md says what is safe to expose, docs/service.md how to run the
    API as a service. Ctrl-C ends it.
    """
    serving = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
    require_extra(*(("api", serving) if api_only else ("app", (*serving, "gradio"))))
    from kalamos.app.api import create_app
    from kalamos.app.batching import DECODING_TIME_FRACTION, ModelRegistry
    from kalamos.app.errors import Limits
    from kalamos.app.scans import FormRegistry
    from kalamos.app.server import bind, server_for
    from kalamos.app.tokens import read_tokens
    from kalamos.app.visits import VisitLimits, app_folder

    tokens = read_tokens(token_file, os.environ)
    if tokens and not api_only:
        raise UsageError("a token guards the API alone: a browser sends none", remedy="add --api-only")
    limits = Limits(
        upload_bytes=int(limit["max_upload_mb"]) * 2**20,
        images=int(min(limit["max_images"], limit["queue"])),
        queue=int(limit["queue"]),
        seconds=limit["timeout"],
    )
    visit_limits = VisitLimits(
        idle_seconds=60 * limit["visit_minutes"],
        visits=int(limit["max_visits"]),
        visit_bytes=int(limit["visit_mb"]) * 2**20,
        total_bytes=int(limit["all_visits_mb"]) * 2**20,
    )
    registry = ModelRegistry(models or None)
    known_forms = FormRegistry(
        forms, max_pixels=limits.pixels, timeout=DECODING_TIME_FRACTION * limits.seconds
    )
    loopback = _is_loopback(host)
    local = loopback and not names  # behind a proxy, which has another name for it, others can reach it
    model_upload = local if allow_model_upload is None else allow_model_upload
    _log_to_stderr(quiet)
    # The API alone writes nothing, and so needs no folder that it could write to.
    with bind(host, port) as listener, nullcontext() if api_only else app_folder() as folder:
        page = None
        if folder is not None:
            page = _build_page(
                registry, limits, corrections, known_forms, folder, local=local, model_upload=model_upload
            )
        application = create_app(
            registry,
            limits,
            page,
            forms=known_forms,
            hosts=_hosts(host, names),
            visit_limits=visit_limits,
            tokens=tokens,
            origins=origins,
        )
        address = _address(*listener.getsockname()[:2])

        def ready() -> None:
            _print_address(address, api_only=api_only, open_to_others=not (loopback or tokens))

        try:
            server = server_for(
                application, shutdown_timeout=limits.seconds, ready=ready, ending=application.state.end_page
            )
            server.run(sockets=[listener])
        except KeyboardInterrupt:  # the way to end it
            print("ended", file=sys.stderr)


def _build_page(
    registry: ModelRegistry,
    limits: Limits,
    corrections: Path,
    forms: FormRegistry,
    folder: Path,
    *,
    local: bool,
    model_upload: bool,
) -> gradio.Blocks:
    # Uploads are deleted with the server, and lie in a folder that only this user can read. Gradio reads
    # these variables when it is imported.
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    from kalamos.app.page import build_page

    return build_page(registry, limits, corrections, forms=forms, local=local, model_upload=model_upload)


def _hosts(host: str, names: tuple[str, ...]) -> frozenset[str] | None:
    """Return the host names that the server accepts; None for any, if others are meant to reach it."""
    from kalamos.app.security import LOOPBACK_HOSTS

    if names or _is_loopback(host):
        return LOOPBACK_HOSTS | {host.lower(), *map(str.lower, names)}
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _print_address(address: str, *, api_only: bool, open_to_others: bool) -> None:
    what = "HTTP API" if api_only else "page and HTTP API"
    print(f"kalamos {what}: {address}  (manual: {address}/docs; Ctrl-C ends it)", flush=True)
    if open_to_others:
        print("no login: anyone who can reach this machine can use it", file=sys.stderr)


def _log_to_stderr(quiet: bool) -> None:
    from kalamos.app.server import PlainFormatter

    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(handlers=[handler], level=logging.ERROR)
    if not quiet:
        logging.getLogger("kalamos.app").setLevel(logging.INFO)
