"""What the exporters write opens: its operators are allowed, its work and memory within the bounds."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import pytest
import torch

from kalamos.alphabets import DIGITS
from kalamos.learn.export.onnx_format import encode_onnx
from kalamos.learn.models import ARCHITECTURES, create_model
from kalamos.model_file import ModelSpec, open_model
from kalamos.preprocessing.pipeline import default_steps

TIMM = {"vit_tiny_patch16_224": 224, "convnext_atto": 64}
"""Networks of timm whose operators the others lack, and the side of the images they are exported for here."""


def exported(name: str, size: int) -> bytes:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm's own
        network = create_model(name, len(DIGITS)).eval()
    spec = ModelSpec(
        name="m",
        architecture=name,
        parameters=1,
        alphabet=DIGITS,
        preprocessing=default_steps(size),
        input_size=size,
        temperature=1.0,
        min_confidence=0.0,
        feature_maps=tuple(network.stages),
        training=None,
        metrics=(),
        licence="Apache-2.0",
        kalamos_version="0.1.0",
        created="2026-03-31",
    )
    return encode_onnx(network, spec)


@pytest.mark.parametrize("name", ARCHITECTURES.names())
def test_every_architecture_opens(name: str) -> None:
    if name.endswith("_transfer"):
        pytest.skip("the same network as without")
    size = getattr(create_model(name, 10), "input_size", 28)
    model = open_model(exported(name, size))
    images = np.random.default_rng(0).random((5, 1, size, size)).astype(np.float32)
    assert model.logits(images).shape == (5, 10)


@pytest.mark.parametrize("name", TIMM)
def test_networks_of_timm_open(name: str) -> None:
    pytest.importorskip("timm")
    size = TIMM[name]
    model = open_model(exported(f"timm:{name}", size))
    images = np.random.default_rng(0).random((5, 1, size, size)).astype(np.float32)
    assert model.logits(images).shape == (5, 10)
    assert set(model.feature_maps(images[:1])) == set(model.spec.feature_maps)


def test_a_resnet_50_is_within_the_bounds() -> None:
    """Of work and memory: the largest that a character model is likely to be."""
    pytest.importorskip("timm")
    model = open_model(exported("timm:resnet50", 224))
    assert model.graph.batch_size > 1


def test_other_operators_are_told_by_name() -> None:
    content = exported("cnn2", 28)
    model = onnx.load_from_string(content)
    model.graph.node[0].op_type = "NonMaxSuppression"
    with pytest.raises(
        Exception, match="node 0: the operator 'NonMaxSuppression' is not one that kalamos runs"
    ):
        open_model(model.SerializeToString())
