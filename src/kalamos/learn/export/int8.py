"""Static int8: weights per channel, activations per tensor, ranges from real images, a gate on accuracy.

The graph is in ONNX's QDQ form. Weights use 7 of their 8 bits: CPUs without VNNI add pairs of 8-bit
products in 16 bits, which overflow, and a file must not answer worse on one machine than on another
(on `digits`: logits off by 2.8 with 8 bits, by 0.1 with 7). Logits stay in float: 256 levels of them would
tie, and blunt the confidences.

On `digits`: 3.4 times smaller, the same answer to all of 5,999 validation images of MNIST. On one core of an
AVX2 CPU without VNNI, at 64 images a run: 0.89 times the speed of float, being narrow; `kalamos_s` 1.4
times and `kalamos_m` 1.8 times.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from kalamos.datasets import Split, load_dataset, stratified_split
from kalamos.datasets.dataset import prepare_split
from kalamos.errors import ExportError, first_line
from kalamos.evaluation.calibration import selective_accuracy
from kalamos.learn.export.base import Exported, check_ending, opened
from kalamos.learn.export.onnx_format import INPUT, with_spec
from kalamos.learn.recipe import Recipe
from kalamos.learn.run import SplitPlan, plan_split
from kalamos.model_file import LoadedModel, ModelSpec, Quantisation, open_model
from kalamos.postprocessing import softmax
from kalamos.preprocessing import Preprocessor
from kalamos.utils.atomic_write import working_folder

__all__ = ["CalibrationData", "calibration_data", "export_int8"]

CALIBRATION_IMAGES = 320
"""Images that activation ranges are found on: more changed no answer on MNIST."""

MAX_ACCURACY_LOSS = 0.0005
"""Share of the validation images that may be lost: 0.05 percentage points."""

CALIBRATION_METHODS = ("minmax", "entropy", "percentile")

CALIBRATION_BATCH = 10
"""Images a calibration run; the histogram methods want all batches of one size."""

INFERENCE_BATCH = 64

WEIGHTED_OPERATORS = frozenset({"Conv", "Gemm", "MatMul"})


def export_int8(content: bytes, data: CalibrationData, destination: Path) -> Exported:
    """Quantise a float model file; nothing is written if that loses accuracy.

    Args:
        content: the float model file's bytes.
        data: see `kalamos.learn.export.int8.calibration_data`.
        destination: the `.onnx` file, written whole or not at all.

    Raises:
        UsageError: the name does not end in `.onnx`.
        ExportError: it is int8 already, or loses more than `MAX_ACCURACY_LOSS` whatever the method.
        ModelError: `content` is not a kalamos model.
        OutputError: the file cannot be written.
    """
    check_ending(destination, ".onnx")
    with opened(destination) as stream:
        attempt = _quantise(content, data)
        stream.write(attempt.content)
    return Exported(destination, attempt.spec, len(attempt.content), attempt.difference, len(content))


@dataclass(frozen=True)
class _Attempt:
    content: bytes
    spec: ModelSpec
    record: Quantisation
    difference: float

    @property
    def passes(self) -> bool:
        # In images, with room for rounding: shares that differ by exactly the limit do not say so.
        lost = round((self.record.float_accuracy - self.record.accuracy) * self.record.n)
        return lost <= MAX_ACCURACY_LOSS * self.record.n + 1e-6

    def __str__(self) -> str:
        record = self.record
        kept = f", {' and '.join(record.float_nodes)} in float" if record.float_nodes else ""
        return f"{record.accuracy:.2%} ({record.method}{kept})"


@dataclass(frozen=True)
class CalibrationData:
    """Prepared images, uint8 [N, S, S].

    Attributes:
        calibration: of the training part, every class with its share.
        validation: of the held-out part, which neither the weights nor the ranges have seen.
    """

    calibration: Split
    validation: Split


def calibration_data(
    spec: ModelSpec,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    split: SplitPlan | None = None,
    count: int = CALIBRATION_IMAGES,
) -> CalibrationData:
    """Load what `spec` was trained on and split it as its training did. The test split is not touched.

    Args:
        data_dir: the folder that holds the datasets; see `kalamos.datasets`.
        split: the one that the run kept; None makes it again from the recipe in the spec.
        count: about how many images to calibrate with.

    Raises:
        ExportError: the spec records no training, or the data differ from those that it records.
        DatasetError: the dataset is absent or damaged.
        RecipeError: the spec's recipe is not one of this kalamos.
    """
    training = spec.training
    if training is None:
        raise ExportError(
            f"the model {spec.name!r} does not say what it was trained on",
            remedy="int8 needs those images; export from the run folder",
        )
    recipe = Recipe.of_training(training)
    dataset = load_dataset(recipe.dataset, data_dir, classes=recipe.class_folders)
    if dataset.train.sha256 != training.sha256:
        raise ExportError(
            f"the dataset {recipe.dataset!r} is not the one that {spec.name!r} was trained on: "
            "its images or labels differ",
            remedy="point --data-dir to the folder that it was trained from",
        )
    rows = split or plan_split(dataset, recipe)
    preprocessor = Preprocessor(spec.preprocessing)
    learnt, _ = prepare_split(dataset.train.take(rows.train), preprocessor)
    # Extra datasets of the recipe are counted too, and may not be on this machine.
    if len(learnt) != training.n and not (recipe.extra_datasets and len(learnt) < training.n):
        raise ExportError(
            f"the split of {recipe.dataset!r} cannot be made again: {len(learnt):,} images to learn from, "
            f"where the training had {training.n:,}",
            remedy="export from the run folder, which kept its split",
        )
    held_out, _ = prepare_split(dataset.train.take(rows.val), preprocessor)
    return CalibrationData(learnt.take(_some(learnt.labels, count)), held_out)


def _some(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Rows of about `count` images, every class with its share."""
    if len(labels) <= count:
        return np.arange(len(labels))
    _, chosen = stratified_split(labels, count / len(labels), seed=0)
    return chosen


def _quantise(content: bytes, data: CalibrationData) -> _Attempt:
    """The int8 model that agrees most often with the float one, if it is accurate enough.

    Agreement needs no labels, so choosing by it leaves the accuracy, which decides, to be measured.
    First everything is quantised; where no method is good enough, all but the first and the last layer.

    Raises:
        ExportError: it is int8 already, or no attempt is accurate enough; the message has the figures.
    """
    model = open_model(content)
    if model.spec.quantisation is not None:
        raise ExportError(
            f"the model {model.spec.name!r} is int8 already", remedy="quantise the float model it came from"
        )
    prepare = Preprocessor(model.spec.preprocessing)
    expected, known = _answers(model, data.validation.stack(), prepare)
    prepared = _pre_process(content)
    failed: list[_Attempt] = []
    for float_nodes in ((), _first_and_last(prepared)):
        best = max(
            (
                _attempt(prepared, model.spec, method, float_nodes, data, expected, known, prepare)
                for method in CALIBRATION_METHODS
            ),
            key=lambda attempt: (attempt.record.agreement, -attempt.difference),
        )
        if best.passes:
            return best
        failed.append(best)
    raise ExportError(
        f"int8 would lose too much: {failed[0].record.float_accuracy:.2%} of {len(data.validation):,} "
        f"validation images are right in float, in int8 {', '.join(map(str, failed))}; "
        f"{MAX_ACCURACY_LOSS * 100:g} points may be lost",
        remedy="ship the float model; a network with plain convolutions and batch norm quantises better",
    )


def _attempt(
    prepared: onnx.ModelProto,
    spec: ModelSpec,
    method: str,
    float_nodes: Sequence[str],
    data: CalibrationData,
    expected: NDArray[np.float32],
    known: NDArray[np.float64] | None,
    prepare: Preprocessor,
) -> _Attempt:
    quantised = _quantised(prepared, method, float_nodes, prepare.batch(data.calibration.stack()))
    # The file's figures were measured with the float model.
    unmeasured = replace(spec, metrics=(), selective=None, robustness=())
    made = open_model(with_spec(quantised, unmeasured))
    logits, coarse = _answers(made, data.validation.stack(), prepare)
    if spec.known is not None and known is not None and coarse is not None:
        # As many validation images are withheld as by the float model.
        share = float((known < spec.known.threshold).mean())
        threshold = min(spec.known.threshold, float(np.sort(coarse)[int(share * len(coarse))]))
        unmeasured = replace(unmeasured, known=replace(spec.known, threshold=threshold))
    truth, answers, floats = data.validation.labels, logits.argmax(1), expected.argmax(1)
    record = Quantisation(
        method=method,
        float_nodes=tuple(float_nodes),
        calibration_n=len(data.calibration),
        n=len(truth),
        accuracy=float((answers == truth).mean()),
        float_accuracy=float((floats == truth).mean()),
        agreement=float((answers == floats).mean()),
    )
    sure = softmax(logits, spec.temperature).max(1)
    selective = selective_accuracy(sure, answers == truth)
    recorded = replace(unmeasured, quantisation=record, selective=selective)
    difference = float(np.abs(logits - expected).max())
    return _Attempt(with_spec(quantised, recorded), recorded, record, difference)


def _answers(
    model: LoadedModel, images: NDArray[np.uint8], prepare: Preprocessor
) -> tuple[NDArray[np.float32], NDArray[np.float64] | None]:
    """Logits float32 [N, C], and the probability float64 [N] of being a character, if the model tells."""
    chunks = (images[start : start + INFERENCE_BATCH] for start in range(0, len(images), INFERENCE_BATCH))
    logits, known = zip(*(model.answers(prepare.batch(chunk)) for chunk in chunks), strict=True)
    return np.concatenate(logits), None if model.spec.known is None else np.concatenate(known)


def _pre_process(content: bytes) -> onnx.ModelProto:
    """Prepare for quantisation as onnxruntime asks: infer shapes, fold constants and batch norms."""
    from onnxruntime.quantization.shape_inference import (  # type: ignore[import-untyped]
        quant_pre_process,
    )

    with working_folder("int8") as folder, _quantiser():
        given, prepared = folder / "given.onnx", folder / "prepared.onnx"
        given.write_bytes(content)
        # Symbolic shapes are for transformers; here that step stumbles over reductions of opset 18.
        quant_pre_process(str(given), str(prepared), skip_symbolic_shape=True)
        return onnx.load(prepared)


def _quantised(
    model: onnx.ModelProto, method: str, float_nodes: Sequence[str], images: NDArray[np.float32]
) -> onnx.ModelProto:
    from onnxruntime.quantization import (  # type: ignore[import-untyped]
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    methods = {
        "minmax": CalibrationMethod.MinMax,
        "entropy": CalibrationMethod.Entropy,
        "percentile": CalibrationMethod.Percentile,
    }
    with working_folder("int8") as folder, _quantiser():
        given, path = folder / "given.onnx", folder / "int8.onnx"
        given.write_bytes(model.SerializeToString())
        quantize_static(
            str(given),
            str(path),
            _Reader(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[*float_nodes, *_known_head(model)],
            calibrate_method=methods[method],
            extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
        )
        quantised = onnx.load(path)
    # What nodes use, that is: the quantiser declares all domains that onnxruntime knows.
    used = {node.domain for node in quantised.graph.node}
    kept = [opset for opset in quantised.opset_import if opset.domain in used]
    del quantised.opset_import[:]
    quantised.opset_import.extend(kept)
    return quantised


@contextlib.contextmanager
def _quantiser() -> Iterator[None]:
    """For onnxruntime's tools: no talk on standard output, failures as `ExportError`."""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # they raise what comes
        raise ExportError(
            f"onnxruntime cannot quantise this graph ({first_line(error)})", remedy="ship the float model"
        ) from error


class _Reader:
    """Hands the calibrator its batches: what onnxruntime calls a `CalibrationDataReader`."""

    def __init__(self, images: NDArray[np.float32]) -> None:
        size = min(CALIBRATION_BATCH, len(images))
        self._batches: Iterator[NDArray[np.float32]] = (
            images[start : start + size] for start in range(0, len(images) - size + 1, size)
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def _known_head(model: onnx.ModelProto) -> list[str]:
    """Nodes that take a weight of the known head: it is small, and its one number wants all its digits."""
    return [node.name for node in model.graph.node if any(".known." in name for name in node.input)]


def _first_and_last(model: onnx.ModelProto) -> tuple[str, ...]:
    layers = [node.name for node in model.graph.node if node.op_type in WEIGHTED_OPERATORS]
    return tuple(dict.fromkeys((layers[0], layers[-1]))) if layers else ()
