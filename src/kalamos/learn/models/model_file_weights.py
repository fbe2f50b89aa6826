"""Begin a training with the weights of a model file: shipped ones, exports, int8 files.

An export has each batch norm folded into the convolution before it. To be trained on, a network needs them
back: each gets the mean and the deviation that its convolution has on a few training images, and the scale
and the shift that undo them, so that the network answers as the file does.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import onnx
import onnx.numpy_helper
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from kalamos.alphabets import Alphabet
from kalamos.errors import RecipeError
from kalamos.finetune.head import WEIGHT
from kalamos.learn.models.base import StagedNetwork
from kalamos.model_file import open_model
from kalamos.zoo import find_model

__all__ = ["average_model_file", "load_model_file", "read_folded", "restore_batch_norms"]

PREFIX: Final = "network."
"""Names of weights in a model file begin so."""

DEQUANTISED: Final = "_DequantizeLinear_Output"

TEACHABLE: Final = WEIGHT.removesuffix(".weight")
"""The last layer of a file that can be taught has this name instead of its own."""


def read_folded(content: bytes) -> dict[str, tuple[Tensor, Tensor]]:
    """Read weight and bias of each convolution and dense layer, by its name; int8 ones are scaled back.

    Args:
        content: a model file that was opened without error.
    """
    graph = onnx.load_from_string(content).graph
    tensors = {each.name: torch.tensor(onnx.numpy_helper.to_array(each)) for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in tensors:  # weights kept as float16
            tensors[node.output[0]] = tensors[node.input[0]].float()
        if node.op_type == "DequantizeLinear" and node.input[0] in tensors:
            values, scale, zero = (tensors[name].float() for name in node.input)
            along = (-1, *[1] * (values.ndim - 1)) if scale.ndim else ()
            tensors[node.output[0]] = (values - zero.view(along)) * scale.view(along)
    layers = {}
    for node in graph.node:
        if node.op_type in {"Conv", "Gemm"} and all(name in tensors for name in node.input[1:]):
            name = node.input[1].removesuffix(DEQUANTISED).removesuffix(".weight").removeprefix(PREFIX)
            weight = tensors[node.input[1]]
            layers[name] = weight, tensors[node.input[2]] if node.input[2:] else torch.zeros(len(weight))
    return layers


def load_model_file(network: StagedNetwork, model: str, alphabet: Alphabet) -> None:
    """Give a network the weights of a model file; it then answers as the file does.

    Each batch norm only adds a bias at first: `restore_batch_norms` before it is trained. The last layer
    comes along where the file answers with this alphabet's classes; else it stays fresh.

    Args:
        network: of the architecture that the file was exported from.
        model: a shipped model's name, or a file.
        alphabet: what the network is to answer with.

    Raises:
        ModelError: there is no such file, or it is not a model.
        RecipeError: it has other layers, or layers of other shapes.
    """
    norms = dict(_normed(network))
    with torch.no_grad():
        for name, (layer, weight, bias) in _match(network, model, alphabet).items():
            layer.weight.copy_(weight)
            if name in norms:
                _as_bias(norms[name], bias)
            elif layer.bias is not None:
                layer.bias.copy_(bias)


def average_model_file(network: StagedNetwork, model: str, alphabet: Alphabet, share: float) -> None:
    """Average a network's weights with those of the model file that it was trained on from.

    What training adds and what the file could do before are then both there, more of them than half way
    between (WiSE-FT, Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). Layers that the
    file has not stay as trained. Each batch norm is averaged as part of its convolution, and only adds a bias
    afterwards, see `restore_batch_norms`.

    Args:
        network: see `load_model_file`.
        model: likewise.
        alphabet: likewise.
        share: the file's, in [0, 1].

    Raises:
        ModelError, RecipeError: see `load_model_file`.
    """
    norms = dict(_normed(network))
    network.eval()
    with torch.no_grad():
        for name, (layer, weight, bias) in _match(network, model, alphabet).items():
            if name in norms:
                own = fuse_conv_bn_weights(layer.weight, layer.bias, *_state(norms[name]))
                layer.weight.copy_(torch.lerp(own[0], weight.to(own[0]), share))
                _as_bias(norms[name], torch.lerp(own[1], bias.to(own[1]), share))
            else:
                layer.weight.lerp_(weight.to(layer.weight), share)
                if layer.bias is not None:
                    layer.bias.lerp_(bias.to(layer.bias), share)


def _match(
    network: StagedNetwork, model: str, alphabet: Alphabet
) -> dict[str, tuple[nn.Conv2d | nn.Linear, Tensor, Tensor]]:
    """Give each layer of a network that a model file is to fill: its name, and the file's weight and bias."""
    path = find_model(model)
    has_classes = open_model(path).spec.alphabet.labels == alphabet.labels
    folded = read_folded(path.read_bytes())
    wanted = {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
        and (has_classes or not f"{name}.".startswith(network.head_keys))
        and (name in folded or not name.startswith("known."))
    }
    linear = [
        name
        for name, layer in wanted.items()
        if isinstance(layer, nn.Linear) and not name.startswith("known.")
    ]
    if TEACHABLE in folded and linear:
        folded = {**folded, linear[-1]: folded[TEACHABLE]}
    for name, layer in wanted.items():
        if name not in folded or folded[name][0].shape != layer.weight.shape:
            raise RecipeError(
                f"{model}: does not fit this architecture: layer {name} is "
                f"{'of another shape' if name in folded else 'missing'}",
                remedy="name the architecture that the model file has (kalamos models NAME)",
            )
    return {name: (layer, *folded[name]) for name, layer in wanted.items()}


@torch.no_grad()
def restore_batch_norms(network: nn.Module, images: Tensor) -> None:
    """Make batch norms that only add a bias normalise, and undo it, by what they see of some images.

    Args:
        network: see `load_model_file`.
        images: training images, float32 [N, 1, S, S], on the network's device.
    """
    seen: dict[nn.BatchNorm2d, tuple[Tensor, Tensor]] = {}

    def watch(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)  # noqa: S101  (hooked below)
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3))
        seen[norm] = mean, variance

    hooks = [norm.register_forward_pre_hook(watch) for _, norm in _normed(network)]
    training = network.training
    network.eval()(images)
    network.train(training)
    for hook in hooks:
        hook.remove()
    for norm, (mean, variance) in seen.items():
        assert norm.running_mean is not None and norm.running_var is not None  # noqa: S101, PT018  (these track)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)


def _normed(network: nn.Module) -> Iterator[tuple[str, nn.BatchNorm2d]]:
    """Each convolution's name with the batch norm after it."""
    for name, chain in network.named_modules():
        if isinstance(chain, nn.Sequential):
            for (index, layer), (_, norm) in pairwise(chain.named_children()):
                if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    yield f"{name}.{index}", norm


def _as_bias(norm: nn.BatchNorm2d, bias: Tensor) -> None:
    """Let a batch norm only add a bias."""
    assert norm.running_mean is not None and norm.running_var is not None  # noqa: S101, PT018  (these track)
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
    norm.weight.fill_(1)
    norm.bias.copy_(bias)


def _state(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor, float, Tensor, Tensor]:
    """Give what `fuse_conv_bn_weights` asks for: mean, variance, epsilon, scale, shift."""
    assert norm.running_mean is not None and norm.running_var is not None  # noqa: S101, PT018  (these track)
    return norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
