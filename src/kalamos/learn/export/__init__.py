"""Export a run or a model file to the formats of other programs, behind a parity check.

A file that answers otherwise than the network is not kept.

```
run ──────── from_run ──┐                      ┌─ onnx, torchscript, pt2, litert, ... ── parity ─┐
model file ─ from_model ┴─ network + ModelSpec ┴─ onnx ─ int8 (calibration) ─ accuracy ──────────┴─ file
```
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kalamos._version import __version__
from kalamos.errors import ExportError, ModelError, PreprocessingError, UsageError, suggest
from kalamos.learn.export.base import (
    Exported,
    Format,
    Source,
    check_destination,
    check_ending,
    check_parity,
    default_destination,
    export,
    name_of,
    spec_path,
)
from kalamos.learn.export.int8 import calibration_data, export_int8
from kalamos.learn.export.litert_format import LITERT
from kalamos.learn.export.onnx_format import ONNX, with_licence
from kalamos.learn.export.torch_formats import FULL, PT2, STATE_DICT, TORCHSCRIPT
from kalamos.learn.models import StagedNetwork, count_parameters, create_model
from kalamos.learn.run import Run, load_run
from kalamos.model_file import LoadedModel, ModelSpec, TrainingRecord, open_model, read_spec
from kalamos.model_file.spec import LEARNT_BEFORE, NOT_STATED, bound_temperature, check_licence
from kalamos.preprocessing import Preprocessor
from kalamos.zoo import find_model, names

__all__ = ["FORMATS", "export_model", "export_run", "from_model", "from_run"]

WRAPPER_PREFIX = "network."
"""The exporter's wrapper holds the network under this name."""

FROM_THE_RUN = "export from the run folder instead"

FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {form.name: form for form in (ONNX, TORCHSCRIPT, PT2, FULL, STATE_DICT, LITERT)}
)

INT8_SUFFIX: Final = ".int8.onnx"


def export_model(
    source: Run | str | os.PathLike[str],
    destination: str | os.PathLike[str] | None = None,
    *,
    format: str = "onnx",  # noqa: A002  (what it is called everywhere)
    int8: bool = False,
    licence: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Exported:
    """Write a run or a model as a file that other programs open; a file that answers otherwise is not kept.

    Args:
        source: a `Run`, a run folder, an `.onnx` file of kalamos, or a shipped model's name.
        destination: the file to write; None: beside the source, with the format's suffix.
        format: `"onnx"` (kalamos' own), `"torchscript"`, `"pt2"`, `"full"`, `"state-dict"` or `"litert"`.
        int8: whether to quantise the weights: for onnx only; needs the dataset, to calibrate on.
        licence: an SPDX identifier for the file; None leaves the model's, and states none for a run.
        data_dir: the folder that holds the named datasets, for `int8`.

    Raises:
        UsageError: no such format, the file's name promises another one, or the file must not be replaced.
        MissingExtraError: `"litert"` without `kalamos[litert]`.
        ModelNotFoundError, ModelError, TrainingError: the source cannot be read.
        ExportError: PyTorch cannot write the network so, or int8 would lose accuracy.
        OutputError: the file cannot be written.

    >>> done = export_model("digits", "digits.pt2", format="pt2")  # doctest: +SKIP
    >>> done.size_bytes, done.difference < 1e-4  # doctest: +SKIP
    (402915, True)
    """
    licence = None if licence is None else check_licence(licence)
    if format not in FORMATS:
        raise UsageError(f"unknown export format {format!r}", remedy=suggest(format, FORMATS))
    form = FORMATS[format]
    if int8 and form is not ONNX:
        raise UsageError(f"int8 is for onnx, not for {format}", remedy="leave out one of the two")
    suffix = INT8_SUFFIX if int8 else form.suffix
    model = None if isinstance(source, Run) else _model_file(source)
    if model is not None and form is ONNX and not int8:
        raise UsageError(
            f"{source}: already an onnx model", remedy="quantise it (--int8), or choose another format (-f)"
        )
    target = Path(destination) if destination is not None else _default_target(source, suffix)
    place = source.folder if isinstance(source, Run) else Path(source) if model is None else model
    check_destination(target, place)
    if form.spec_beside:
        check_destination(spec_path(target), place)
    check_ending(target, suffix)
    if model is None:
        run = source if isinstance(source, Run) else load_run(Path(source))
        found, split = from_run(run, name_of(target, suffix)), run.split
    elif int8:
        spec, content = read_spec(model), model.read_bytes()
        content = content if licence is None else with_licence(content, spec, licence)
        return export_int8(content, calibration_data(spec, data_dir), target)
    else:
        found, split = from_model(model), None
    if licence is not None:
        found = Source(found.network, replace(found.spec, licence=licence))
    if not int8:
        return export(found, form, target)
    content, _ = ONNX.checked(found)
    return export_int8(content, calibration_data(found.spec, data_dir, split=split), target)


def export_run(run: Run, name: str, destination: Path, licence: str = NOT_STATED) -> ModelSpec:
    """Export a run's network; nothing is written unless the file reads back with the same logits.

    Args:
        name: what the model calls itself.
        destination: the `.onnx` file, written whole or not at all.
        licence: an SPDX identifier; unless one is chosen, none is stated.

    Returns:
        The spec that the file now carries.

    Raises:
        ExportError: the exported graph answers differently from the network, or the preprocessing
            leaves images of different sizes.
        ModelFileError: the name is blank, or weights are NaN or infinite.
        OutputError: the file cannot be written.
    """
    return export(from_run(run, name, licence), ONNX, destination).spec


def _default_target(source: Run | str | os.PathLike[str], suffix: str) -> Path:
    if not isinstance(source, Run):
        return default_destination(source, suffix, shipped=source in names())
    if source.folder is None:
        raise UsageError("this run was kept in no folder", remedy="name the file to write")
    return default_destination(source.folder, suffix)


def _model_file(source: str | os.PathLike[str]) -> Path | None:
    """The model file that is meant, or None for a run folder.

    A shipped model's name goes before a folder of that name; `./digits` is the folder.
    """
    path = Path(source)
    if source not in names():
        near = get_close_matches(path.name, names(), n=1)
        a_model = path.suffix.lower() == ".onnx" or (near and path.parent == Path())
        if path.is_dir() or not (os.path.lexists(path) or a_model):
            return None
    return find_model(source)


def from_run(run: Run, name: str, licence: str = NOT_STATED) -> Source:
    """Take a run's network, and describe its training in a spec.

    A temperature that an earlier kalamos fitted on too few images is bounded, and what was measured with it
    is left out.

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
            recipe=run.recipe.to_mapping() | learnt_before(run.recipe.weights),
            seed=run.recipe.seed,
            date=run.created[:10],
            torch=run.environment["torch"],
        ),
        metrics=(),
        licence=licence,
        kalamos_version=__version__,
        created=run.created[:10],
        selective=run.selective if temperature == run.temperature else None,
        known=run.known,
    )
    return Source(run.network, spec)


def learnt_before(weights: str) -> dict[str, list[str]]:
    """Name the datasets that a model to begin from had learnt from, for a `TrainingRecord`.

    Args:
        weights: a recipe's; what is no model file, or is no longer there, tells nothing.

    >>> learnt_before("digits-large")["learnt_before"][0], learnt_before("gone.onnx")
    ('mnist', {})
    """
    try:
        training = open_model(find_model(weights)).spec.training
    except ModelError:
        return {}
    if training is None:
        return {}
    names = [training.dataset]
    for key in ("also", LEARNT_BEFORE):
        listed = training.recipe.get(key)
        names += [str(each) for each in listed] if isinstance(listed, list) else []
    return {LEARNT_BEFORE: list(dict.fromkeys(names))}


def from_model(path: Path) -> Source:
    """The network of a float model file, built again.

    Raises:
        ModelError: not a kalamos model.
        RecipeError: this kalamos has no architecture of the name that the file gives.
        ExportError: the graph does not hold the network's weights any more.
    """
    model = open_model(path)
    return Source(rebuild(path.read_bytes(), model), model.spec)


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
    network = create_model(spec.architecture, len(spec.alphabet), known=spec.known is not None).eval()
    try:
        _load(network, _weights(content, network), spec)
        check_parity(network, model.logits, spec, "the model file")
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
