from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from kalamos.alphabets import Alphabet
from kalamos.model_file import METADATA_KEY, Metric, ModelSpec, TrainingRecord

SIZE, CLASSES = 4, 3


@pytest.fixture(scope="session")
def spec() -> ModelSpec:
    """Fits the model that `make_model` makes."""
    return ModelSpec(
        name="tiny",
        architecture="flat",
        parameters=51,
        alphabet=Alphabet("abc", ("a", "ب", "ch")),
        preprocessing=({"step": "crop"}, {"step": "normalise", "mean": 0.0, "std": 1.0}),
        input_size=SIZE,
        temperature=1.25,
        min_confidence=0.5,
        feature_maps=("stem",),
        training=TrainingRecord(
            dataset="letters",
            split="train",
            n=300,
            sha256="0f" * 32,
            recipe={"epochs": 3, "lr": 0.01, "steps": [1, {"deep": None}]},
            seed=7,
            date="2026-03-30",
            torch="2.6.0",
        ),
        metrics=(
            Metric(
                dataset="letters",
                split="test",
                sha256="a1" * 32,
                n=100,
                accuracy=0.93,
                interval=(0.86, 0.97),
                ece=0.02,
                date="2026-03-31",
                kalamos_version="0.1.0",
            ),
        ),
        licence="Apache-2.0",
        kalamos_version="0.1.0",
        created="2026-03-31",
    )


@pytest.fixture(scope="session")
def make_model(spec: ModelSpec) -> Callable[..., onnx.ModelProto]:
    """A linear model; what it is made of can be replaced to spoil it."""

    def make(
        *,
        metadata: str | None = spec.to_json(),
        input_shape: Sequence[int | str] = ("batch", 1, SIZE, SIZE),
        input_type: int = TensorProto.FLOAT,
        logits_shape: Sequence[int | str] = ("batch", CLASSES),
        logits_name: str = "logits",
        map_name: str = "stem",
        more_nodes: Sequence[onnx.NodeProto] = (),
        more_inputs: Sequence[onnx.ValueInfoProto] = (),
        more_initializers: Sequence[TensorProto] = (),
    ) -> onnx.ModelProto:
        pixels = math.prod(side for side in input_shape[1:] if isinstance(side, int))
        weights = np.random.default_rng(0).normal(size=(pixels, CLASSES)).astype(np.float32)
        graph = helper.make_graph(
            [
                helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
                helper.make_node("Relu", ["floats"], [map_name]),
                helper.make_node("Flatten", ["floats"], ["flat"]),
                helper.make_node("Gemm", ["flat", "weight", "bias"], [logits_name]),
                *more_nodes,
            ],
            "tiny",
            [helper.make_tensor_value_info("images", input_type, input_shape), *more_inputs],
            [
                helper.make_tensor_value_info(logits_name, TensorProto.FLOAT, logits_shape),
                helper.make_tensor_value_info(map_name, TensorProto.FLOAT, [None] * 4),
            ],
            [
                numpy_helper.from_array(weights, "weight"),
                helper.make_tensor("bias", TensorProto.FLOAT, [CLASSES], [0.0, 0.5, 1.0]),
                *more_initializers,
            ],
        )
        opset = [helper.make_opsetid("", 18)]
        model: onnx.ModelProto = helper.make_model(graph, opset_imports=opset, ir_version=9)
        if metadata is not None:
            helper.set_model_props(model, {"other": "kept", METADATA_KEY: metadata})
        return model

    return make


@pytest.fixture(scope="session")
def good(make_model: Callable[..., onnx.ModelProto]) -> bytes:
    content: bytes = make_model().SerializeToString()
    return content
