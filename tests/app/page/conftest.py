"""A real server, opened in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.app.form_helpers import templates

from kalamos.alphabets import Alphabet
from kalamos.model_file import METADATA_KEY, ModelSpec
from kalamos.preprocessing import Preprocessor, default_steps

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

collect_ignore_glob = [] if find_spec("gradio") else ["test_*.py"]

PATIENCE = 60_000
"""In ms: for machines that do other things as well."""


def _alif() -> NDArray[np.uint8]:
    page = np.full((64, 64), 255, np.uint8)
    cv2.line(page, (33, 8), (31, 56), 0, 5, cv2.LINE_AA)
    return page


def _ba() -> NDArray[np.uint8]:
    page = np.full((64, 64), 255, np.uint8)
    cv2.ellipse(page, (32, 24), (24, 14), 0, 0, 180, 0, 5, cv2.LINE_AA)
    cv2.circle(page, (32, 52), 4, 0, -1, cv2.LINE_AA)
    return page


@pytest.fixture
def alif_png() -> bytes:
    return cv2.imencode(".png", _alif())[1].tobytes()


@pytest.fixture(scope="session")
def two_letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file that tells alif from ba by their templates."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    steps = default_steps(28)
    prepare = Preprocessor(steps)
    templates = prepare.batch([prepare.image(_alif()), prepare.image(_ba())]).reshape(2, -1)
    weights = (12 * templates / np.linalg.norm(templates, axis=1, keepdims=True) / 8).T.astype(np.float32)
    spec = ModelSpec(
        name="two-letters",
        architecture="templates",
        parameters=weights.size,
        alphabet=Alphabet("two-letters", ("ا", "ب")),
        preprocessing=steps,
        input_size=28,
        temperature=1.0,
        min_confidence=0.0,
        feature_maps=("a", "b", "c", "d"),
        training=None,
        metrics=(),
        licence="Apache-2.0",
        kalamos_version="0.1.0",
        created="2026-03-31",
    )
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            *(helper.make_node("Relu", ["images"], [name]) for name in spec.feature_maps),
            helper.make_node("Flatten", ["images"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weight"], ["logits"]),
        ],
        "two-letters",
        [value("images", 1, ["batch", 1, 28, 28])],
        [value("logits", 1, ["batch", 2]), *(value(name, 1, [None] * 4) for name in spec.feature_maps)],
        [onnx.numpy_helper.from_array(weights, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    path = tmp_path_factory.mktemp("models") / "two-letters.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="module")
def corrections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corrections")


@pytest.fixture(scope="module")
def address(
    start: Callable[..., AbstractContextManager[str]],
    corrections: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The whole application, as `kalamos app` runs it, with two models and the form `exam`."""
    from kalamos.app.api import create_app
    from kalamos.app.batching import ModelRegistry
    from kalamos.app.errors import Limits
    from kalamos.app.page import build_page
    from kalamos.app.scans import FormRegistry

    registry, limits = ModelRegistry(["digits", "arabic"]), Limits()
    forms = FormRegistry(templates(tmp_path_factory.mktemp("forms")))
    with pytest.MonkeyPatch.context() as patch:
        # A folder of its own, as the command has: a server that ends deletes what others may still show.
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        page = build_page(registry, limits, corrections, forms=forms)
        app = create_app(registry, limits, page, forms=forms)
        with start(app) as found:
            yield f"{found}/"


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Opens the page as a new visitor; fails where it asks another server or its scripts fail."""
    contexts, problems = [], []

    def opened(**options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1100, "height": 900}, **options})
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("request", lambda asked: _note(asked.url, address, problems))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#pad canvas")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


def _note(url: str, address: str, problems: list[str]) -> None:
    if not url.startswith((address, "data:", "blob:")):
        problems.append(f"asked for {url}")
