from __future__ import annotations

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kalamos.errors import ExportError, UsageError
from kalamos.learn import Run
from kalamos.learn.export.base import (
    BATCH_SIZES,
    MAX_LOGIT_DIFFERENCE,
    check_destination,
    check_parity,
    default_destination,
    name_of,
    strokes,
)
from kalamos.learn.models import create_model
from kalamos.model_file import LoadedModel, open_model


@pytest.mark.parametrize(
    ("source", "suffix", "expected"),
    [
        ("runs/digits", ".onnx", "runs/digits.onnx"),
        ("runs/v1.2/", ".onnx", "runs/v1.2.onnx"),
        ("runs/ب", ".torchscript.pt", "runs/ب.torchscript.pt"),
        ("models/digits.onnx", ".pt2", "models/digits.pt2"),
        ("models/DIGITS.ONNX", ".int8.onnx", "models/DIGITS.int8.onnx"),
        ("models/v1.2.onnx", ".full.pt", "models/v1.2.full.pt"),
    ],
)
def test_an_export_lands_beside_its_source(source: str, suffix: str, expected: str) -> None:
    assert default_destination(source, suffix) == Path(expected)


def test_a_shipped_model_lands_in_the_current_folder() -> None:
    assert default_destination("digits", ".pt2", shipped=True) == Path("digits.pt2")


@pytest.mark.parametrize("inside", [".", "./", "../digits"])
def test_a_run_is_named_by_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str) -> None:
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path / "digits")
    assert default_destination(inside, ".onnx").resolve() == (tmp_path / "digits.onnx").resolve()
    (tmp_path / "digits" / "deeper").mkdir()
    monkeypatch.chdir(tmp_path / "digits" / "deeper")
    assert default_destination("..", ".onnx") == tmp_path / "digits.onnx"


@pytest.mark.parametrize(
    ("destination", "suffix", "name"),
    [
        ("a/digits.onnx", ".onnx", "digits"),
        ("a/digits.full.pt", ".full.pt", "digits"),
        ("a/digits.pt", ".full.pt", "digits"),
        ("a/digits", ".onnx", "digits"),
        ("a/v1.2.int8.onnx", ".int8.onnx", "v1.2"),
        (".onnx", ".onnx", ".onnx"),
    ],
)
def test_a_model_is_called_as_its_file(destination: str, suffix: str, name: str) -> None:
    assert name_of(Path(destination), suffix) == name


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    return folder


@pytest.mark.parametrize("name", ["scan.png", "scan.JPG", "new.tiff"])
def test_an_images_name_is_refused(run: Path, name: str) -> None:
    with pytest.raises(UsageError, match="this is an image; name another file after -o"):
        check_destination(run.parent / name, run)


def test_an_image_by_another_name_is_refused(run: Path) -> None:
    path = run.parent / "scan"
    path.write_bytes(cv2.imencode(".png", np.zeros((9, 9), np.uint8))[1].tobytes())
    with pytest.raises(UsageError, match="this is an image"):
        check_destination(path, run)


def test_the_runs_own_files_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (run / "run.json", run / ".." / "run" / "run.json"):
        with pytest.raises(UsageError, match=r"run\.json: this is a file of the run"):
            check_destination(path, run)
    monkeypatch.chdir(run)
    with pytest.raises(UsageError, match="this is a file of the run"):
        check_destination(Path("run.json"), Path())
    (run.parent / "link").symlink_to(run / "run.json")
    with pytest.raises(UsageError, match="this is a file of the run"):
        check_destination(run.parent / "link", run)


def test_the_model_itself_is_refused(tmp_path: Path) -> None:
    model, other = tmp_path / "model.onnx", tmp_path / "other.onnx"
    model.write_bytes(b"x")
    other.hardlink_to(model)
    for path in (model, other):
        with pytest.raises(UsageError, match="this is the very model"):
            check_destination(path, model)


def test_anything_else_may_be_written(run: Path) -> None:
    older = run.parent / "older.onnx"
    older.write_bytes(b"x")
    for path in (older, run.parent / "new.onnx", run / "run.onnx", run.parent / "a\0b", run.parent):
        check_destination(path, run)


@pytest.fixture(scope="module")
def exported(tiny_model: Path) -> LoadedModel:
    return open_model(tiny_model)


def test_the_network_it_came_from_passes(exported: LoadedModel, tiny_run: Run) -> None:
    worst = check_parity(tiny_run.network, exported.logits, exported.spec)
    assert 0 <= worst <= MAX_LOGIT_DIFFERENCE


def test_another_network_does_not(exported: LoadedModel) -> None:
    torch.manual_seed(1)
    with pytest.raises(ExportError, match=r"^the pt2 file differs from the network by .*, where 0\.0001 and"):
        check_parity(create_model("kalamos_xs", 10), exported.logits, exported.spec, "the pt2 file")


@pytest.mark.parametrize("name", ["stages.stem.0.weight", "stages.deep.2.1.bias", "head.bias"])
def test_a_weight_changed_a_little_is_noticed(exported: LoadedModel, tiny_run: Run, name: str) -> None:
    network = copy.deepcopy(tiny_run.network)
    with torch.no_grad():
        network.get_parameter(name).add_(0.01)  # all of it: a single channel may be dead
    with pytest.raises(ExportError, match="nothing was written"):
        check_parity(network, exported.logits, exported.spec)


def test_a_network_left_in_training_mode_is_judged_as_it_will_be_used(
    exported: LoadedModel, tiny_run: Run
) -> None:
    check_parity(copy.deepcopy(tiny_run.network).train(), exported.logits, exported.spec)


def test_not_a_number_is_a_difference(exported: LoadedModel, tiny_run: Run) -> None:
    network = copy.deepcopy(tiny_run.network)
    with torch.no_grad():
        network.get_parameter("head.bias")[3] = float("nan")
    with pytest.raises(ExportError, match="by nan"):
        check_parity(network, exported.logits, exported.spec)


def test_another_best_class_is_noticed_within_the_tolerance(exported: LoadedModel, tiny_run: Run) -> None:
    network = copy.deepcopy(tiny_run.network)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.arange(10) * 1e-6)  # all but a tie

    def reversed_answer(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.tile(np.arange(9, -1, -1, np.float32) * np.float32(1e-6), (len(images), 1))

    with pytest.raises(ExportError, match="the same best class"):
        check_parity(network, reversed_answer, exported.spec)


@pytest.mark.parametrize("frozen", BATCH_SIZES)
def test_a_frozen_batch_is_noticed(exported: LoadedModel, tiny_run: Run, frozen: int) -> None:
    whole = exported.logits

    def answer(images: NDArray[np.float32]) -> NDArray[np.float32]:
        if len(images) != frozen:
            raise RuntimeError(f"Expected {frozen} images\nand a long tail")
        return whole(images)

    other = next(size for size in BATCH_SIZES if size != frozen)
    with pytest.raises(ExportError, match=f"fails at batch size {other}: Expected {frozen} images$"):
        check_parity(tiny_run.network, answer, exported.spec)


def test_a_lost_batch_dimension_is_noticed(exported: LoadedModel, tiny_run: Run) -> None:
    whole = exported.logits
    with pytest.raises(
        ExportError, match=r"answers \[10\] at batch size 1, where the network answers \[1, 10\]"
    ):
        check_parity(tiny_run.network, lambda images: whole(images).squeeze(), exported.spec)


@pytest.mark.parametrize("size", [1, 8, 28, 128])
def test_strokes_look_like_ink(size: int) -> None:
    images = strokes(7, size, np.random.default_rng(0))
    assert (images.shape, images.dtype) == ((7, size, size), np.uint8)
    if size >= 8:
        assert all(image.max() > 100 for image in images)
        assert (images == 0).mean() > 0.3
        assert len({image.tobytes() for image in images}) == 7
