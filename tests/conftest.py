"""Shared fixtures: the real MNIST where it is at hand, a small world of synthetic digits, and a browser.

The small world (`digits_folder` → `tiny_run` → `tiny_model`) is drawn by program, lies in MNIST's own
format and takes seconds to learn, so that every step from a data folder to a model file can be run.
"""

from __future__ import annotations

import gc
import gzip
import os
import pickle
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray
from tests.workers import begin_with_long_ones, compile_a_share, made_once

from kalamos.alphabets import DIGITS
from kalamos.datasets import Dataset, Split, load_dataset

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from kalamos.learn import Recipe, Run

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # WebAssembly as its first compiler makes it: the second one takes longer than all that a test computes.
    "--js-flags=--liftoff-only",
    # A camera that shows a test picture, and nobody to ask whether it may.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]

# Before PyTorch is imported: on busy cores its threads wait for one another longer than they compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A deadline would measure the machine, not the code.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# The learning half needs the extra 'train'; the reading half is tested without it as well.
collect_ignore = [] if find_spec("torch") else ["learn"]


def pytest_sessionstart(session: pytest.Session) -> None:
    compile_a_share(session.config)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    begin_with_long_ones(config, items)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """Leave what is imported and collected to no garbage collection: it stays, and is millions of objects.

    To look through them takes a second each time, and tests that end a server ask for it.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def exporter_table_made_once() -> Iterator[None]:
    """Let all exports of this process share PyTorch's table of what is written as what in ONNX.

    Each one would parse 500 functions for it, which takes as long as all else in exporting a small network.
    """
    torch = sys.modules.get("torch")
    if torch is None or find_spec("onnxscript") is None:
        yield
        return
    export, made = torch.onnx.export, []

    def quick_export(*arguments: Any, **options: Any) -> Any:
        if not made:
            made.append(True)
            with suppress(ImportError, AttributeError):  # private; without it each export makes one
                registry = import_module("torch.onnx._internal.exporter._registration").ONNXRegistry
                patch.setattr(registry, "from_torchlib", staticmethod(cache(registry.from_torchlib)))
        return export(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", quick_export)
        yield


@pytest.fixture(scope="session")
def mnist() -> Dataset:
    """The real MNIST, from the folder that KALAMOS_DATA names."""
    root = os.environ.get("KALAMOS_DATA")
    if not root:
        pytest.skip("KALAMOS_DATA is not set, so there is no MNIST to test on")
    if not (Path(root) / "mnist").is_dir():
        pytest.skip("the folder that KALAMOS_DATA names has no mnist in it")
    return load_dataset("mnist", root)


def _idx(array: NDArray[Any]) -> bytes:
    codes = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
    header = bytes([0, 0, codes[array.dtype.str[1:]], array.ndim])
    return (
        header
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


@pytest.fixture(scope="session")
def to_idx() -> Callable[[NDArray[Any]], bytes]:
    """Array -> IDX bytes, written independently of the reader."""
    return _idx


def _synthetic(count: int, seed: int) -> Split:
    """Printed digits, slanted and moved a little: 28x28, bright on black, every class alike often."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    images = np.zeros((count, 28, 28), np.uint8)
    for image, label in zip(images, labels.tolist(), strict=True):
        page = np.zeros((56, 56), np.uint8)
        cv2.putText(page, str(label), (16, 42), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 255, 3, cv2.LINE_AA)
        slant, shift = generator.uniform(-0.2, 0.2), generator.uniform(-2, 2, 2)
        warp = np.array([[1, slant, shift[0] - slant * 28], [0, 1, shift[1]]])
        image[:] = cv2.resize(cv2.warpAffine(page, warp, (56, 56)), (28, 28), interpolation=cv2.INTER_AREA)
    return Split(images, labels.astype(np.int64))


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """300 + 60 synthetic digits, easy to tell apart."""
    return Dataset("mnist", DIGITS, _synthetic(300, seed=1), _synthetic(60, seed=2), "drawn by program")


@pytest.fixture(scope="session")
def digits_folder(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder (for --data-dir and KALAMOS_DATA) whose `mnist` holds the synthetic digits."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "mnist").mkdir()
    for prefix, split in (("train", digits.train), ("t10k", digits.test)):
        for name, array in (
            (f"{prefix}-images-idx3-ubyte.gz", split.images),
            (f"{prefix}-labels-idx1-ubyte.gz", split.labels.astype(np.uint8)),
        ):
            (folder / "mnist" / name).write_bytes(gzip.compress(_idx(array)))
    return folder


@pytest.fixture(scope="session")
def quick_recipe() -> Recipe:
    """Learns the synthetic digits within seconds, with every part of the training in use."""
    pytest.importorskip("torch", reason="needs the extra 'train'")
    from kalamos.learn import Recipe
    from kalamos.learn.recipe import Augmentation

    return Recipe(
        epochs=6,
        batch_size=32,
        optimizer="sgd",
        lr=0.1,
        weight_decay=5e-4,
        label_smoothing=0.05,
        ema_decay=0.8,
        no_aug_epochs=1,
        augmentation=Augmentation(rotate=5.0, translate=0.05, scale=0.05, shear=5.0),
    )


@pytest.fixture(scope="session")
def tiny_run_and_folder(
    digits_folder: Path, quick_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, Path]:
    from kalamos.learn import run_recipe

    def train(folder: Path) -> None:
        run = run_recipe(quick_recipe, data_dir=digits_folder, device="cpu", run_dir=folder / "tiny")
        # As it came out of the training, not as it would be read back.
        (folder / "run.pickle").write_bytes(pickle.dumps(run))

    made = made_once(tmp_path_factory, "runs", train)
    return pickle.loads((made / "run.pickle").read_bytes()), made / "tiny"  # noqa: S301  (its own)


@pytest.fixture(scope="session")
def tiny_run(tiny_run_and_folder: tuple[Run, Path]) -> Run:
    """A real run over the synthetic digits."""
    return tiny_run_and_folder[0]


@pytest.fixture(scope="session")
def tiny_run_folder(tiny_run_and_folder: tuple[Run, Path]) -> Path:
    """The folder that `kalamos train` leaves behind. Read it only."""
    return tiny_run_and_folder[1]


@pytest.fixture(scope="session")
def tiny_model(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run exported to a model file called `tiny`. Read it only; copy it to change it."""
    pytest.importorskip("onnxscript", reason="needs the extra 'train'")
    from kalamos.learn.export import export_run

    made = made_once(
        tmp_path_factory, "models", lambda folder: export_run(tiny_run, "tiny", folder / "tiny.onnx")
    )
    return made / "tiny.onnx"


Images = NDArray[np.uint8]
Draw = Callable[..., Images]


def _draw(label: int, count: int, seed: int) -> Images:
    corners = np.random.default_rng(label).uniform(12, 44, (5, 2))
    hand = np.random.default_rng([seed, label])
    images = np.zeros((count, 28, 28), np.uint8)
    for image in images:
        page = np.zeros((56, 56), np.uint8)
        stroke = (corners + hand.normal(0, 2.5, corners.shape)).astype(np.int32)
        cv2.polylines(page, [stroke.reshape(-1, 1, 2)], False, 255, int(hand.integers(3, 6)), cv2.LINE_AA)
        image[:] = cv2.resize(page, (28, 28), interpolation=cv2.INTER_AREA)
    return images


@pytest.fixture(scope="session")
def draw() -> Draw:
    """Draw a few strokes a class, by a hand that never draws one twice alike.

    Called with a class, a count and a seed: uint8 [count, 28, 28], bright on black.
    """
    return _draw


def _missing(reason: str) -> Any:
    if os.environ.get("KALAMOS_REQUIRE_BROWSER") == "1":
        pytest.fail(f"KALAMOS_REQUIRE_BROWSER is 1, but {reason}")
    pytest.skip(reason)


def _film_of_a_seven() -> bytes:
    """A film of one frame, as Chromium's pretended camera plays again and again: a 7 on paper."""
    import cv2
    import numpy as np

    height, width = 240, 320
    page = np.full((height, width), 220, np.uint8)
    cv2.putText(page, "7", (110, 180), cv2.FONT_HERSHEY_SIMPLEX, 5, 40, 14, cv2.LINE_AA)
    grey = bytes([128]) * (height * width // 2)  # both planes of colour
    return b"YUV4MPEG2 W%d H%d F10:1 Ip C420jpeg\nFRAME\n" % (width, height) + page.tobytes() + grey


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, from the path in KALAMOS_BROWSER or found by name; its camera sees a 7.

    One for all folders of tests: a process can drive no second one beside it.
    """
    if find_spec("playwright") is None:
        _missing("playwright is not installed")
    named = os.environ.get("KALAMOS_BROWSER")
    found = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        _missing("there is no Chromium on the path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        seen = tmp_path_factory.mktemp("camera") / "seven.y4m"
        seen.write_bytes(_film_of_a_seven())
        camera = f"--use-file-for-fake-video-capture={seen}"
        chromium = playwright.chromium.launch(executable_path=found, args=[*OPTIONS, camera])
        yield chromium
        chromium.close()
