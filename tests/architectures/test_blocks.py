from __future__ import annotations

import pytest
import torch
from torch import nn

from kalamos.architectures.blocks import MeanMaxPool, PooledLinear, Residual, RGBConv2d, conv_bn_relu


def test_mean_and_maximum() -> None:
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]], [[-4.0, -4.0], [-4.0, 0.0]]]])
    assert MeanMaxPool()(maps).tolist() == [[3.0, -3.0, 6.0, 0.0]]


def test_maps_of_several_sizes_meet_in_one_dense_layer() -> None:
    layer = PooledLinear((2, 3), 4)
    early, late = torch.randn(5, 2, 8, 8), torch.randn(5, 3, 2, 2)
    pooled = torch.cat([MeanMaxPool()(early), MeanMaxPool()(late)], dim=1)
    assert torch.equal(layer(early, late), nn.functional.linear(pooled, layer.weight, layer.bias))


def test_grey_is_colour_with_three_equal_channels() -> None:
    convolution = RGBConv2d(3, 4, 3, stride=2, padding=1)
    grey = torch.rand(2, 1, 11, 11)
    colour = nn.Conv2d(3, 4, 3, stride=2, padding=1)
    colour.load_state_dict(convolution.state_dict())
    assert torch.allclose(convolution(grey), colour(grey.repeat(1, 3, 1, 1)), atol=1e-6)
    tinted = torch.rand(2, 3, 11, 11)
    assert torch.equal(convolution(tinted), colour(tinted))


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_are_an_error(channels: int) -> None:
    with pytest.raises(RuntimeError):
        RGBConv2d(3, 4, 3)(torch.rand(1, channels, 9, 9))


@pytest.mark.parametrize("depth", [1, 2])
def test_a_residual_that_changes_nothing_is_relu(depth: int) -> None:
    block = Residual(4, depth).eval()
    last = block.change[-1]
    assert isinstance(last, nn.BatchNorm2d)
    nn.init.zeros_(last.weight)
    maps = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(maps), maps.relu())
    assert sum(isinstance(layer, nn.Conv2d) for layer in block.modules()) == depth


def test_its_input_is_left_alone() -> None:
    maps = torch.randn(2, 4, 5, 5)
    before = maps.clone()
    Residual(4)(maps)
    assert torch.equal(maps, before)


def test_the_convolution_has_no_bias_that_batch_norm_would_undo() -> None:
    assert sum(p.numel() for p in conv_bn_relu(2, 3, 5).parameters()) == 3 * 2 * 25 + 2 * 3
