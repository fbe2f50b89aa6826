"""A real server on a free port, in a thread of its own, and images of every sort to send to it."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

if TYPE_CHECKING:
    import httpx
    from fastapi import FastAPI

# The app needs its extra; everything else is tested without it as well.
collect_ignore_glob = [] if find_spec("fastapi") and find_spec("gradio") else ["*"]


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The address of a server that runs until the block ends."""
    from kalamos.app.server import bind, server_for

    ready = threading.Event()
    server = server_for(app, shutdown_timeout=5, ready=ready.set, ending=app.state.end_page)
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert ready.wait(60), "the server did not start"
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive(), "the server did not end"
            # Gradio leaves event loops and sockets to the garbage collector. Collected here, their warnings
            # cannot fail whichever test happens to run next.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                gc.collect()


@contextmanager
def asking(app: FastAPI) -> Iterator[httpx.Client]:
    import httpx

    with serving(app) as address, httpx.Client(base_url=address, timeout=120) as client:
        yield client


@pytest.fixture(scope="session")
def start() -> Callable[..., object]:
    """(application) -> context manager with the address of a server of it."""
    return serving


@pytest.fixture(scope="session")
def ask_of() -> Callable[..., object]:
    """(application) -> context manager with an httpx client of a server of it."""
    return asking


@pytest.fixture(scope="session")
def registry():
    from kalamos.app.batching import ModelRegistry

    return ModelRegistry(["digits"])


@pytest.fixture(scope="session")
def server(registry) -> Iterator[str]:
    """The address of the API alone, with the default limits."""
    from kalamos.app.api import create_app

    with serving(create_app(registry)) as address:
        yield address


@pytest.fixture(scope="session")
def client(server: str) -> Iterator[httpx.Client]:
    import httpx

    with httpx.Client(base_url=server, timeout=120) as client:
        yield client


def _stroke(width: int = 28, height: int = 28) -> np.ndarray:
    page = np.full((height, width), 255, np.uint8)
    page[height // 7 : -height // 7, width // 2 - 2 : width // 2 + 2] = 0
    return page


@pytest.fixture(scope="session")
def one() -> bytes:
    """A PNG of a "1", 28x28, black on white."""
    return cv2.imencode(".png", _stroke())[1].tobytes()


@pytest.fixture(scope="session")
def blank() -> bytes:
    return cv2.imencode(".png", np.full((28, 28), 255, np.uint8))[1].tobytes()
