from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from kalamos.errors import ExportError, ModelNotFoundError, RecipeError
from kalamos.learn import Run
from kalamos.learn.export import from_model
from kalamos.learn.export.base import Source, export
from kalamos.learn.export.onnx_format import ONNX, with_spec
from kalamos.learn.loop import infer
from kalamos.model_file import Quantisation, read_spec
from kalamos.zoo import model_path


def images_of(source: Source) -> np.ndarray:
    size = source.spec.input_size
    return np.random.default_rng(0).random((5, 1, size, size), np.float32)


def test_a_network_comes_back_from_its_model_file(tiny_model: Path, tiny_run: Run) -> None:
    source = from_model(tiny_model)
    assert source.spec == read_spec(tiny_model)
    assert not source.network.training
    images = images_of(source)
    np.testing.assert_allclose(infer(source.network, images), infer(tiny_run.network, images), atol=1e-4)
    # All of it, feature maps too.
    with torch.inference_mode():
        ours, theirs = (
            n.forward_features(torch.from_numpy(images)) for n in (source.network, tiny_run.network)
        )
    for rebuilt, original in zip(ours, theirs, strict=True):
        torch.testing.assert_close(rebuilt, original, atol=1e-4, rtol=1e-4)


def test_the_shipped_model_can_be_rebuilt() -> None:
    assert from_model(model_path("digits")).spec.architecture == "kalamos_xs"


def test_batch_norm_that_the_exporter_could_not_fold_comes_back(
    fresh_source: Callable[[str], Source], tmp_path: Path
) -> None:
    source = fresh_source("lenet_bn")
    export(source, ONNX, tmp_path / "lenet.onnx")
    assert "BatchNormalization" in {node.op_type for node in onnx.load(tmp_path / "lenet.onnx").graph.node}
    rebuilt, images = from_model(tmp_path / "lenet.onnx").network, images_of(source)
    np.testing.assert_allclose(infer(rebuilt, images), infer(source.network, images), atol=1e-4)
    expected = source.network.state_dict()
    for name, value in rebuilt.state_dict().items():
        if "num_batches" not in name:
            torch.testing.assert_close(value, expected[name])


def test_a_first_convolution_for_colour_comes_back(
    fresh_source: Callable[[str], Source], tmp_path: Path
) -> None:
    source = fresh_source("cnn64")
    export(source, ONNX, tmp_path / "colour.onnx")
    rebuilt, images = from_model(tmp_path / "colour.onnx").network, images_of(source)
    np.testing.assert_allclose(infer(rebuilt, images), infer(source.network, images), atol=1e-4)


def changed(path: Path, folder: Path, edit: Callable[[onnx.ModelProto], object], **spec: object) -> Path:
    model = onnx.load(path)
    edit(model)
    other = folder / "changed.onnx"
    other.write_bytes(with_spec(model, replace(read_spec(path), **spec)))
    return other


def nothing(model: onnx.ModelProto) -> None:
    pass


def rename_a_weight(model: onnx.ModelProto) -> None:
    old = "network.head.weight"
    [tensor] = [tensor for tensor in model.graph.initializer if tensor.name == old]
    tensor.name = "val_1"
    for node in model.graph.node:
        node.input[:] = ["val_1" if name == old else name for name in node.input]


def test_a_graph_without_the_weights_names_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    path = changed(tiny_model, tmp_path, rename_a_weight)
    with pytest.raises(
        ExportError,
        match=r"changed\.onnx: kalamos_xs cannot be built again from it \(.*'head\.weight'.*; "
        "export from the run folder",
    ):
        from_model(path)


def swap_two_weights(model: onnx.ModelProto) -> None:
    """The graph computes what it did; its names lie."""
    first, second = "network.stages.middle.1.0.weight_bias", "network.stages.middle.2.0.weight_bias"
    swap = {first: second, second: first}
    for part in model.graph.initializer:
        part.name = swap.get(part.name, part.name)
    for node in model.graph.node:
        node.input[:] = [swap.get(name, name) for name in node.input]


def test_a_network_that_answers_otherwise_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    path = changed(tiny_model, tmp_path, swap_two_weights)
    with pytest.raises(ExportError, match=r"the model file differs from the network by .*run folder instead"):
        from_model(path)


def test_another_architecture_than_the_graph_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    path = changed(tiny_model, tmp_path, nothing, architecture="cnn2")
    with pytest.raises(ExportError, match="cnn2 cannot be built again"):
        from_model(path)


def test_an_architecture_that_there_is_not_is_told(tiny_model: Path, tmp_path: Path) -> None:
    path = changed(tiny_model, tmp_path, nothing, architecture="kalamos_xxs")
    with pytest.raises(RecipeError, match="unknown architecture 'kalamos_xxs'; did you mean"):
        from_model(path)


def test_an_int8_model_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    record = Quantisation("minmax", (), 100, 30, 1.0, 1.0, 1.0)
    path = changed(tiny_model, tmp_path, nothing, quantisation=record)
    with pytest.raises(ExportError, match=r"its weights are int8.*; export from the float model"):
        from_model(path)


def test_a_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        from_model(tmp_path / "none.onnx")


def test_the_file_is_left_as_it_was(tiny_model: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(tiny_model, tmp_path))
    before = copy.copy(path.read_bytes())
    from_model(path)
    assert path.read_bytes() == before
