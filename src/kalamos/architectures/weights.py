"""Weights from elsewhere: what a file holds, fitted to a network.

One rule for all of them: every tensor outside of `StagedNetwork.head_keys` must come, in its shape;
those inside stay fresh, because they know other classes. The first convolution may have three
channels there and one here: it becomes the mean over red, green and blue.
"""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from kalamos.architectures.network import StagedNetwork
from kalamos.errors import KalamosError, RecipeError, TrainingError

__all__ = ["IMAGENET", "load_weights", "read_tensors"]

IMAGENET = "imagenet"
RUN_FILE = "model.safetensors"

_DAMAGES = (AttributeError, EOFError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
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
    path = path / RUN_FILE if path.is_dir() else path
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


def _read_pytorch(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of formats that it goes on to refuse
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # A pickle with other objects in it can run any code on being opened.
        remedy = "save the network's state_dict() alone, or as .safetensors"
        raise TrainingError(
            f"{path}: is damaged, no file of weights, or holds more than tensors", remedy=remedy
        ) from error
    except (OSError, *_DAMAGES) as error:
        raise TrainingError(f"{path}: is damaged, or no file of weights") from error


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError, *_DAMAGES) as error:
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
