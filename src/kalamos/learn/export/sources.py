"""The network to export, from a run or from a model file.

A PyTorch network from a model file: its architecture built anew, its weights from the ONNX graph.

The graph keeps the network's own names for its weights, but the exporter folds a batch norm that follows a
convolution or a dense layer into it: weight and bias are then those of both together, and a bias
that was not there before is called WEIGHT_bias. Such a batch norm is set to what it still has to do:
nothing, or to add that bias. The same answers, then, from weights that need not be the run's own.

What can be exported: a run, or a model file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kalamos._version import __version__
from kalamos.errors import ExportError, PreprocessingError
from kalamos.learn.export.base import Source, answer_of, check_parity
from kalamos.learn.models import StagedNetwork, count_parameters, create_model
from kalamos.learn.run import Run
from kalamos.model_file import LoadedModel, ModelSpec, TrainingRecord, open_model
from kalamos.model_file.spec import NOT_STATED, bound_temperature
from kalamos.preprocessing import Preprocessor

__all__ = ["from_model", "from_run"]

WRAPPER_PREFIX = "network."
"""The exporter's wrapper holds the network under this name."""

FROM_THE_RUN = "export from the run folder instead"


def rebuild(content: bytes, model: LoadedModel) -> StagedNetwork:
    """The network that a model file was exported from, equal in what it answers; evaluation mode.

    Args:
        content: the model file's bytes.
        model: the same, opened; the network has to answer as it does.

    Raises:
        ExportError: an int8 model, a graph that lacks weights of the network, or other answers.
        RecipeError: no architecture has the name that the spec gives.
    """
    spec = model.spec
    if spec.quantisation is not None:
        raise ExportError(
            f"{model.where}: its weights are int8, the network's own are gone",
            remedy="export from the float model, or from the run folder",
        )
    network = create_model(spec.architecture, len(spec.alphabet)).eval()
    try:
        _load(network, _weights(content, network), spec)
        check_parity(network, answer_of(model), spec, "the model file")
    except ExportError as error:
        raise ExportError(
            f"{model.where}: {spec.architecture} cannot be built again from it ({error.problem})",
            remedy=FROM_THE_RUN,
        ) from error
    return network


def _weights(content: bytes, network: StagedNetwork) -> dict[str, NDArray[Any]]:
    """The graph's tensors, under the network's names."""
    import onnx

    graph = onnx.load_from_string(content).graph
    tensors = {
        tensor.name.removeprefix(WRAPPER_PREFIX): onnx.numpy_helper.to_array(tensor)
        for tensor in graph.initializer
    }
    # A first convolution made for colour: the exporter keeps the sum over its channels, by a name of its own.
    name, first = next((n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d))
    reader = next(node for node in graph.node if graph.input[0].name in node.input)
    if first.in_channels == 3 and reader.op_type == "Conv":
        weight, *bias = (tensors.get(each) for each in reader.input[1:])
        if weight is not None and weight.shape[1] == 1:
            tensors[f"{name}.weight"] = np.repeat(weight / 3, 3, axis=1)
        if bias and bias[0] is not None and first.bias is None:
            tensors[f"{name}.weight_bias"] = bias[0]
    return tensors


def _load(network: StagedNetwork, weights: Mapping[str, NDArray[Any]], spec: ModelSpec) -> None:
    state = network.state_dict()
    found: dict[str, NDArray[Any]] = {}
    for layer, norm in _followed_by_norm(network, spec.input_size).items():
        if f"{norm}.running_mean" not in weights:
            found |= _idle(network.get_submodule(norm), norm, weights.get(f"{layer}.weight_bias"))
    for name, own in state.items():
        if name in weights and weights[name].shape == own.shape:
            found[name] = weights[name]
        elif name.endswith(".num_batches_tracked"):
            found[name] = own.numpy()  # counts the training's steps; no answer depends on it
    missing = [name for name in state if name not in found]
    if missing:
        more = f" and {len(missing) - 1} more of its weights" if len(missing) > 1 else ""
        raise ExportError(f"the graph does not hold {missing[0]!r}{more}")
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in found.items()})


def _followed_by_norm(network: StagedNetwork, size: int) -> dict[str, str]:
    """The layers whose output goes straight into a batch norm: layer's name -> norm's name."""
    made: dict[int, tuple[str, Tensor]] = {}  # the tensors too, so that no id is given twice
    pairs: dict[str, str] = {}

    def after(name: str, _module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        made[id(output)] = name, output

    def before(name: str, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if id(inputs[0]) in made:
            pairs[made[id(inputs[0])][0]] = name

    handles = []
    for name, module in network.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            handles.append(module.register_forward_hook(partial(after, name)))
        elif isinstance(module, _BatchNorm):
            handles.append(module.register_forward_pre_hook(partial(before, name)))
    with torch.inference_mode():
        network(torch.zeros(1, 1, size, size))
    for handle in handles:
        handle.remove()
    return pairs


def _idle(norm: nn.Module, name: str, bias: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
    """State of a batch norm that only adds `bias`."""
    assert isinstance(norm, _BatchNorm)  # noqa: S101  (the hook asked)
    one = np.ones(norm.num_features, np.float32)
    return {
        f"{name}.weight": one * np.float32(np.sqrt(1 + norm.eps)),  # undoes the division by it
        f"{name}.bias": 0 * one if bias is None else bias,
        f"{name}.running_mean": 0 * one,
        f"{name}.running_var": one,
    }


def from_run(run: Run, name: str, licence: str = NOT_STATED) -> Source:
    """A run's network, and the spec that tells of its training.

    A temperature that an earlier kalamos fitted on too few images is not believed, nor what was measured with
    it.

    Args:
        name: what the model calls itself.
        licence: an SPDX identifier; unless one is chosen, none is stated.

    Raises:
        ExportError: the preprocessing leaves images of different sizes.
        ModelFileError: a value that a spec cannot have.
    """
    try:
        size = Preprocessor(run.recipe.preprocessing).output_size()
    except PreprocessingError as error:
        raise ExportError(error.problem, remedy=error.remedy) from error
    temperature = bound_temperature(run.temperature, run.val_count)
    spec = ModelSpec(
        name=name,
        architecture=run.recipe.arch,
        parameters=count_parameters(run.network),
        alphabet=run.alphabet,
        preprocessing=tuple(run.recipe.preprocessing),
        input_size=size,
        temperature=temperature,
        min_confidence=0.0,
        feature_maps=tuple(run.network.stages),
        training=TrainingRecord(
            dataset=run.recipe.dataset,
            split="train",
            n=run.train_count,
            sha256=run.data_sha256,
            recipe=run.recipe.to_mapping(),
            seed=run.recipe.seed,
            date=run.created[:10],
            torch=run.environment["torch"],
        ),
        metrics=(),
        licence=licence,
        kalamos_version=__version__,
        created=run.created[:10],
        selective=run.selective if temperature == run.temperature else None,
    )
    return Source(run.network, spec)


def from_model(path: Path) -> Source:
    """The network of a float model file, built again.

    Raises:
        ModelError: not a kalamos model.
        RecipeError: this kalamos has no architecture of the name that the file gives.
        ExportError: the graph does not hold the network's weights any more.
    """
    model = open_model(path)
    return Source(rebuild(path.read_bytes(), model), model.spec)
