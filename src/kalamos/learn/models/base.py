"""The base class of all networks, their building blocks, and weights from elsewhere.

One rule holds for all weights that a file or a library brings: each tensor outside of
`StagedNetwork.head_keys` must be there, in its shape; those inside stay fresh, because they know other
classes. The first convolution may have three channels there and one here: it becomes the mean over red,
green and blue.
"""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kalamos.errors import KalamosError, RecipeError, TrainingError
from kalamos.utils import Registry

__all__ = [
    "ARCHITECTURES",
    "KNOWN_WIDTH",
    "KnownHead",
    "MeanMaxPool",
    "PooledLinear",
    "RGBConv2d",
    "Residual",
    "StagedNetwork",
    "check_input_size",
    "conv_bn_relu",
    "count_parameters",
    "fold_batch_norms",
    "load_weights",
    "read_tensors",
]


KNOWN_WIDTH = 32
"""Hidden units of a `KnownHead`, where the architecture gives no other number."""


def conv_bn_relu(inputs: int, outputs: int, kernel: int, padding: int = 0) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class MeanMaxPool(nn.Module):
    """[N, C, h, w] -> [N, 2 C]: each channel's mean, then each channel's maximum."""

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)


class PooledLinear(nn.Linear):
    """Maps of several stages, [N, C, h, w] each -> [N, classes]: a dense layer over each one's `MeanMaxPool`.

    Early maps say how many there are of something, such as dots, which the last ones forget.
    """

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__(2 * sum(channels), classes)
        self.pool = MeanMaxPool()

    def forward(self, *maps: Tensor) -> Tensor:
        return super().forward(torch.cat([self.pool(each) for each in maps], dim=1))


class KnownHead(nn.Module):
    """Maps of all stages, [N, C, h, w] each -> [N]: the logit that an image is one of the classes at all.

    Args:
        channels: C of each stage, in order.
        width: how many hidden units.
    """

    def __init__(self, channels: Sequence[int], width: int = KNOWN_WIDTH) -> None:
        super().__init__()
        self.pool = MeanMaxPool()
        self.hidden = nn.Linear(2 * sum(channels), width)
        self.out = nn.Linear(width, 1)

    def forward(self, *maps: Tensor) -> Tensor:
        seen = torch.cat([self.pool(each) for each in maps], dim=1)
        return self.out(F.relu(self.hidden(seen))).squeeze(1)  # type: ignore[no-any-return]


class RGBConv2d(nn.Conv2d):
    """A first convolution made for colour that also takes grey: [N, 3, S, S] or [N, 1, S, S].

    Grey is the same in all three channels. Convolving it by three filters is convolving it once
    by their sum, at a third of the cost.

    >>> convolution, grey = RGBConv2d(3, 8, 3), torch.rand(2, 1, 9, 9)
    >>> torch.allclose(convolution(grey), convolution(grey.expand(-1, 3, -1, -1)), atol=1e-6)
    True
    """

    def forward(self, images: Tensor) -> Tensor:
        grey = images.shape[1] == 1
        weight = self.weight.sum(dim=1, keepdim=True) if grey else self.weight
        return F.conv2d(images, weight, self.bias, self.stride, self.padding, self.dilation)


class Residual(nn.Module):
    """x -> ReLU(x + f(x)), f a chain of 3x3 convolutions of the same width, each with batch norm.

    He et al., Deep Residual Learning for Image Recognition, https://arxiv.org/abs/1512.03385.
    """

    def __init__(self, channels: int, depth: int = 2) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += conv_bn_relu(channels, channels, 3, padding=1)
        self.change = nn.Sequential(*layers[:-1])  # the last ReLU comes after the sum

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(maps + self.change(maps))


class StagedNetwork(nn.Module):
    """A chain of named stages, then a head.

    Args:
        stages: name to module, in order; each output [N, C, h, w] is exported as a feature map.
        head: outputs [N, C, h, w] of the stages in `head_inputs` -> logits [N, num_classes].
        head_inputs: names of the stages that the head reads, in order; None: the last one alone.
        input_size: side, in pixels, of the images that it was made for.
        head_keys: prefixes of the state dict's keys that depend on the classes: weights from elsewhere
            never replace those.
        known_width: hidden units of the head that `add_known_head` adds.
    """

    def __init__(
        self,
        stages: Mapping[str, nn.Module],
        head: nn.Module,
        *,
        head_inputs: Sequence[str] | None = None,
        input_size: int = 28,
        head_keys: tuple[str, ...] = ("head.",),
        known_width: int = KNOWN_WIDTH,
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleDict(stages)
        self.head = head
        self.head_inputs = tuple(head_inputs or list(stages)[-1:])
        self.input_size = input_size
        self.head_keys = head_keys
        self.known_width = known_width
        self.known: KnownHead | None = None

    def add_known_head(self) -> None:
        """Let `forward_answers` say whether an image is one of the classes at all; freshly initialised.

        Raises:
            RecipeError: the network has no stages to look at.

        >>> from kalamos.learn.models import create_model
        >>> network = create_model("kalamos_xs", num_classes=10).eval()
        >>> network.add_known_head()
        >>> [answer.shape for answer in network.forward_answers(torch.zeros(3, 1, 28, 28))[:2]]
        [torch.Size([3, 10]), torch.Size([3])]
        """
        training, like = self.training, next(self.parameters())
        with torch.no_grad():
            maps = self.eval().forward_features(like.new_zeros(1, 1, self.input_size, self.input_size))[1:]
        self.train(training)
        if not maps:
            raise RecipeError(
                "this network has no stages to judge by whether an image is a character",
                remedy="train it without outliers (outliers = 0)",
            )
        self.known = KnownHead([each.shape[1] for each in maps], self.known_width).to(like.device)
        self.head_keys = (*self.head_keys, "known.")

    def forward(self, images: Tensor) -> Tensor:
        """float32 [N, 1, S, S] -> logits float32 [N, num_classes]."""
        return self.forward_features(images)[0]

    def forward_features(self, images: Tensor) -> tuple[Tensor, ...]:
        """float32 [N, 1, S, S] -> (logits, then each stage's output [N, C, h, w] in order)."""
        maps = {}
        for name, stage in self.stages.items():
            images = stage(images)
            maps[name] = images
        return self.head(*[maps[name] for name in self.head_inputs]), *maps.values()

    def forward_answers(self, images: Tensor) -> tuple[Tensor, ...]:
        """float32 [N, 1, S, S] -> (logits, with a known head its logit [N], then each stage's output)."""
        logits, *maps = self.forward_features(images)
        return (logits, *maps) if self.known is None else (logits, self.known(*maps), *maps)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Pickles of kalamos 0.1 have the two attributes under their names of that time.
        for old, name in (("seen", "head_inputs"), ("fresh", "head_keys")):
            if old in state:
                state[name] = state.pop(old)
        if "known" not in state["_modules"]:
            state.setdefault("known", None)
        super().__setstate__(state)  # type: ignore[no-untyped-call]

    def map_key(self, name: str) -> str:
        """Translate a state-dict key of the library that the architecture comes from."""
        return name

    def imagenet_weights(self) -> Mapping[str, Tensor]:
        """ImageNet weights under that library's names, downloaded where they are not cached.

        Raises:
            RecipeError: this architecture has none.
            TrainingError: they cannot be had.
        """
        raise RecipeError(
            "this architecture has no ImageNet weights",
            remedy="leave the weights out, or give a file (--weights FILE)",
        )


ARCHITECTURES: Registry[StagedNetwork] = Registry("architecture", RecipeError)
"""The networks that kalamos itself defines."""


def count_parameters(network: nn.Module, *, trainable: bool = True, statistics: bool = False) -> int:
    """How many numbers a network learns.

    Args:
        trainable: False also counts frozen parameters.
        statistics: also count batch norm's moving means and variances, which are no parameters but
            which Keras reports among its "total params"; use it with `trainable=False`.

    >>> from kalamos.learn.models import create_model
    >>> network = create_model("lenet_bn", num_classes=47)
    >>> count_parameters(network), count_parameters(network, trainable=False, statistics=True)
    (282663, 284335)
    """
    count = sum(p.numel() for p in network.parameters() if p.requires_grad or not trainable)
    if statistics:
        names = (".running_mean", ".running_var")
        count += sum(b.numel() for name, b in network.named_buffers() if f".{name}".endswith(names))
    return count


def check_input_size(network: StagedNetwork, name: str, size: int) -> None:
    """See whether a network takes images of this side, before a whole training finds out.

    Raises:
        RecipeError: it does not.

    >>> from kalamos.learn.models import create_model
    >>> check_input_size(create_model("cnn64", num_classes=10), "cnn64", 28)
    Traceback (most recent call last):
    ...
    kalamos.errors.RecipeError: cnn64 does not take 28x28 images; resize them to 64x64
    """
    training = network.training
    like = next(network.parameters())
    try:
        with torch.inference_mode():
            network.eval()(like.new_zeros(2, 1, size, size))
    except (AssertionError, RuntimeError) as error:
        made_for = f"{network.input_size}x{network.input_size}"
        remedy = f"resize them to {made_for}" if size != network.input_size else ""
        raise RecipeError(f"{name} does not take {size}x{size} images", remedy=remedy) from error
    finally:
        network.train(training)


def fold_batch_norms(network: nn.Module) -> None:
    """Put each batch norm into the convolution before it, in place: the same answers, sooner.

    Args:
        network: in evaluation mode.

    >>> from kalamos.learn.models import create_model
    >>> network = create_model("kalamos_xs", num_classes=10).eval()
    >>> fold_batch_norms(network)
    >>> any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    False
    """
    for chain in list(network.modules()):
        if isinstance(chain, nn.Sequential):
            for index, (convolution, norm) in enumerate(pairwise(list(chain))):
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    chain[index] = fuse_conv_bn_eval(convolution, norm)
                    chain[index + 1] = nn.Identity()


IMAGENET = "imagenet"
RUN_WEIGHTS_FILE, RUN_BEST_FILE = "model.safetensors", "best.safetensors"

_LOADING_ERRORS = (AttributeError, EOFError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"""What PyTorch raises on files that are not what they seem, besides `UnpicklingError`."""


def load_weights(network: StagedNetwork, name: str, weights: str | os.PathLike[str]) -> None:
    """Replace a network's weights, all but the fresh ones, or leave it as it was.

    Args:
        name: the architecture's, for messages.
        weights: `"imagenet"`, a file, or a run folder.

    Raises:
        RecipeError: there is no such file, or its tensors do not fit.
        TrainingError: it is damaged or unsafe, or the download failed.
    """
    try:
        source = network.imagenet_weights() if weights == IMAGENET else read_tensors(Path(weights))
    except KalamosError as error:
        raise type(error)(f"{name}: {error.problem}", remedy=error.remedy) from error
    where = "the ImageNet weights" if weights == IMAGENET else str(weights)
    _check_and_load(network, name, where, {network.map_key(key): value for key, value in source.items()})


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors in a safetensors file, a PyTorch state dict or a run folder; nothing in it is run.

    Raises:
        RecipeError: there is no such file.
        TrainingError: it is damaged, or holds more than tensors.
    """
    path = _weights_of_run(path) if path.is_dir() else path
    try:
        with path.open("rb") as stream:
            start = stream.read(9)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RecipeError(f"{path}: cannot be read as weights ({reason})") from error
    # The name may lie. safetensors begins with eight bytes, the length of its header, which is JSON.
    tensors = _read_safetensors(path) if start[8:] == b"{" else _read_pytorch(path)
    if not (isinstance(tensors, Mapping) and all(isinstance(value, Tensor) for value in tensors.values())):
        remedy = "save the network's state_dict() alone"
        raise TrainingError(f"{path}: is not a state dict: names and tensors", remedy=remedy)
    return {str(key): value for key, value in tensors.items()}


def _weights_of_run(folder: Path) -> Path:
    """The weights of a run: those it ended with, else the best ones so far."""
    for name in (RUN_WEIGHTS_FILE, RUN_BEST_FILE):
        if (folder / name).exists():
            return folder / name
    raise RecipeError(
        f"{folder}: has neither {RUN_WEIGHTS_FILE}, which a finished run has, nor {RUN_BEST_FILE}, which is "
        "there after the first epoch",
        remedy="give the folder that `kalamos train` wrote, or a file of weights",
    )


def _read_pytorch(path: Path) -> object:
    try:
        # By its name it would be opened as what the name says.
        with path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of formats that it goes on to refuse
            return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # A pickle with other objects in it can run any code on being opened.
        remedy = "save the network's state_dict() alone, or as .safetensors"
        raise TrainingError(
            f"{path}: is damaged, no file of weights, or holds more than tensors", remedy=remedy
        ) from error
    except (OSError, *_LOADING_ERRORS) as error:
        raise TrainingError(f"{path}: is damaged, or no file of weights") from error


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError, *_LOADING_ERRORS) as error:
        raise TrainingError(f"{path}: is a damaged safetensors file") from error


def _check_and_load(network: StagedNetwork, name: str, where: str, source: Mapping[str, Tensor]) -> None:
    here = network.state_dict()
    wanted = {key for key in here if not key.startswith(network.head_keys)}
    # Batch norm's count of batches is not in every file, and not in use: its momentum is fixed.
    missing = [
        key for key in here if key in wanted - source.keys() and not key.endswith("num_batches_tracked")
    ]
    foreign = [key for key in source if key not in wanted and not key.startswith(network.head_keys)]
    taken = {key: _to_grey(source[key], here[key]) for key in here if key in wanted & source.keys()}
    misshapen = [
        f"{key} is {_shape(source[key])}, not {_shape(here[key])}"
        for key, value in taken.items()
        if value.shape != here[key].shape
    ]
    for problem, tensors in (("lacks", missing), ("also has", foreign), ("has other shapes:", misshapen)):
        if tensors:
            remedy = f"give weights of {name}, from kalamos or from the library that it comes from"
            raise RecipeError(f"{where}: does not fit {name}: it {problem} {_some(tensors)}", remedy=remedy)
    network.load_state_dict(taken, strict=False)


def _to_grey(there: Tensor, here: Tensor) -> Tensor:
    grey_of_colour = there.ndim == here.ndim == 4 and there.shape[1] == 3 and here.shape[1] == 1
    return there.mean(dim=1, keepdim=True) if grey_of_colour else there


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"


def _some(names: Iterable[str]) -> str:
    first, rest = list(names)[:3], len(list(names)) - 3
    return ", ".join(first) + (f" and {rest} more" if rest > 0 else "")
