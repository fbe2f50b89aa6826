from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from kalamos.datasets import Dataset
from kalamos.errors import DatasetError, ExportError, ModelError, ModelFileError, OutputError, RecipeError
from kalamos.evaluation.calibration import selective_accuracy
from kalamos.learn import Run
from kalamos.learn.export import int8
from kalamos.learn.export.base import Exported, Source
from kalamos.learn.export.int8 import CalibrationData, calibration_data, export_int8
from kalamos.learn.export.onnx_format import with_spec
from kalamos.learn.run import SplitPlan, plan_split
from kalamos.model_file import METADATA_KEY, Metric, ModelSpec, Quantisation, open_model, read_spec
from kalamos.postprocessing import softmax
from kalamos.preprocessing import Preprocessor
from kalamos.recognizer import Recognizer
from kalamos.zoo import model_path


def rows_of(images: Iterable[np.ndarray]) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_the_images_are_those_of_the_training(
    source: Source, tiny_run: Run, digits: Dataset, digits_folder: Path
) -> None:
    data = calibration_data(source.spec, digits_folder, count=100)
    plan = plan_split(digits, tiny_run.recipe)
    prepare = Preprocessor(source.spec.preprocessing)
    learnt, held_out = (prepare.images([*digits.train.take(rows).images]) for rows in (plan.train, plan.val))
    assert rows_of(data.calibration.stack()) <= rows_of(learnt)
    np.testing.assert_array_equal(data.validation.stack(), held_out)
    np.testing.assert_array_equal(data.validation.labels, digits.train.labels[plan.val])
    assert len(data.validation) == tiny_run.val_count
    assert not rows_of(data.calibration.stack()) & rows_of(data.validation.stack())
    np.testing.assert_array_equal(np.bincount(data.calibration.labels), 10)


def test_where_there_are_few_all_are_taken(source: Source, tiny_run: Run, digits_folder: Path) -> None:
    assert len(calibration_data(source.spec, digits_folder).calibration) == tiny_run.train_count


def test_the_split_that_a_run_kept_goes_first(source: Source, tiny_run: Run, digits_folder: Path) -> None:
    count = tiny_run.train_count
    kept = SplitPlan(np.arange(count), np.arange(count, count + 20), np.zeros(0, np.int64))
    data = calibration_data(source.spec, digits_folder, split=kept)
    assert (len(data.calibration), len(data.validation)) == (count, 20)


def refused(source: Source, folder: Path, **changes: object) -> str:
    training = replace(source.spec.training, **changes)
    with pytest.raises(ExportError) as caught:
        calibration_data(replace(source.spec, training=training), folder)
    return str(caught.value)


def test_other_images_are_refused(source: Source, digits_folder: Path) -> None:
    told = refused(source, digits_folder, sha256="0" * 64)
    assert told.startswith("the dataset 'mnist' is not the one that 'tiny' was trained on")
    assert "--data-dir" in told


def test_another_split_is_refused(source: Source, digits_folder: Path) -> None:
    assert "the split of 'mnist' cannot be made again" in refused(source, digits_folder, n=17)


def test_what_a_recipe_learnt_from_besides_is_not_asked_for(source: Source, digits_folder: Path) -> None:
    training = source.spec.training
    besides = replace(training, n=training.n + 7, recipe={**training.recipe, "also": ["no/such/folder"]})
    data = calibration_data(replace(source.spec, training=besides), digits_folder)
    assert len(data.calibration) == training.n
    told = refused(source, digits_folder, n=training.n - 1, recipe=besides.recipe)
    assert "cannot be made again" in told


def test_a_model_that_does_not_know_its_data_is_refused(source: Source, digits_folder: Path) -> None:
    with pytest.raises(ExportError, match="does not say what it was trained on"):
        calibration_data(replace(source.spec, training=None), digits_folder)


def test_a_recipe_of_another_time_is_told(source: Source, digits_folder: Path) -> None:
    training = replace(source.spec.training, recipe={"epoch": 3})
    with pytest.raises(RecipeError, match="did you mean 'epochs'"):
        calibration_data(replace(source.spec, training=training), digits_folder)


def test_absent_data_is_told(source: Source, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="mnist: there is no"):
        calibration_data(source.spec, tmp_path)


METRIC = Metric("mnist", "test", "a" * 64, 10_000, 0.99, (0.985, 0.993), 0.01, "2026-01-31", "0.1.0")


@pytest.fixture(scope="module")
def data(tiny_model: Path, digits_folder: Path) -> CalibrationData:
    return calibration_data(read_spec(tiny_model), digits_folder)


@pytest.fixture(scope="module")
def measured(tiny_model: Path) -> bytes:
    """The tiny model with a figure, which is not the int8 model's."""
    spec = replace(read_spec(tiny_model), metrics=(METRIC,))
    return with_spec(onnx.load(tiny_model), spec)


@pytest.fixture(scope="module")
def done(measured: bytes, data: CalibrationData, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_int8(measured, data, tmp_path_factory.mktemp("int8") / "tiny.int8.onnx")


# --- what is written -----------------------------------------------------------------------------


def test_the_file_is_a_model_like_any_other(done: Exported, tiny_model: Path, digits: Dataset) -> None:
    model = open_model(done.path)
    assert model.spec == done.spec
    names = [output.name for output in model.session.get_outputs()]
    assert names == ["logits", *read_spec(tiny_model).feature_maps]
    reader, whole = Recognizer(model), Recognizer(open_model(tiny_model))
    right = sum(
        reader.predict(image).label == str(label)
        for image, label in zip(digits.test.images, digits.test.labels, strict=True)
    )
    assert right >= 57
    ours, theirs = reader.feature_maps(digits.test.images[0]), whole.feature_maps(digits.test.images[0])
    for name, maps in theirs.items():
        assert ours[name].shape == maps.shape
        assert np.abs(ours[name] - maps).max() < 0.1 * np.abs(maps).max()


def test_weights_are_int8_and_logits_are_not(done: Exported) -> None:
    graph = onnx.load(done.path).graph
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = {name: array for name, array in tensors.items() if name.endswith(".weight_quantized")}
    assert len(weights) == 6
    for array in weights.values():
        assert array.dtype == np.int8
        assert np.abs(array.astype(int)).max() <= 64  # 7 bits; see the module
    scales = tensors["network.stages.deep.1.0.weight_scale"]
    assert scales.shape == (64,)  # one a channel
    assert len(np.unique(scales)) > 1
    [last] = [node for node in graph.node if "logits" in node.output]
    assert last.op_type == "Gemm"
    assert done.size_bytes == done.path.stat().st_size < 0.4 * done.float_bytes


def test_the_spec_says_that_it_is_int8(done: Exported, data: CalibrationData, tiny_model: Path) -> None:
    record = done.spec.quantisation
    assert record is not None
    assert record.method in {"minmax", "entropy", "percentile"}
    assert (record.float_nodes, record.calibration_n, record.n) == ((), len(data.calibration), 30)
    assert record.accuracy >= record.float_accuracy - 0.0005
    assert replace(done.spec, quantisation=None) == read_spec(
        tiny_model
    )  # the float model's figures are gone


def test_the_figures_are_the_files(done: Exported, data: CalibrationData, tiny_model: Path) -> None:
    images = Preprocessor(done.spec.preprocessing).batch(data.validation.stack())
    ours, theirs = (open_model(path).logits(images) for path in (done.path, tiny_model))
    record = done.spec.quantisation
    assert record.accuracy == (ours.argmax(1) == data.validation.labels).mean()
    assert record.float_accuracy == (theirs.argmax(1) == data.validation.labels).mean()
    assert record.agreement == (ours.argmax(1) == theirs.argmax(1)).mean()
    sure = softmax(ours, done.spec.temperature).max(1)
    assert done.spec.selective == selective_accuracy(sure, ours.argmax(1) == data.validation.labels)
    assert done.difference == pytest.approx(np.abs(ours - theirs).max(), rel=1e-5)
    assert 0 < done.difference < 1


def test_the_file_says_nothing_of_the_machine(done: Exported, betrayals: list[bytes]) -> None:
    content = done.path.read_bytes()
    assert not [betrayal for betrayal in [*betrayals, b"/tmp", b".onnx"] if betrayal in content]
    model = onnx.load(done.path)
    assert [entry.key for entry in model.metadata_props] == [METADATA_KEY]
    assert [opset.domain for opset in model.opset_import] == [""]


def test_the_same_model_gives_the_same_bytes_and_nothing_is_printed(
    done: Exported,
    measured: bytes,
    data: CalibrationData,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    export_int8(measured, data, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == done.path.read_bytes()
    assert capfd.readouterr() == ("", "")


def test_on_mnist_the_shipped_model_loses_nothing(mnist: Dataset, tmp_path: Path) -> None:
    content = model_path("digits").read_bytes()
    data = calibration_data(read_spec(model_path("digits")), os.environ["KALAMOS_DATA"])
    done = export_int8(content, data, tmp_path / "digits.int8.onnx")
    record = done.spec.quantisation
    assert record.n == 3_000
    assert record.float_accuracy - record.accuracy <= 0.0005
    assert record.agreement >= 0.999
    tensors = onnx.load(done.path).graph.initializer
    stays_float = sum(len(each.raw_data) for each in tensors if each.name.startswith("network.known."))
    assert stays_float > 30_000  # whether it is a character at all
    assert done.size_bytes - stays_float < (done.float_bytes - stays_float) / 3


# --- what is refused -----------------------------------------------------------------------------


def widen_one_channel(content: bytes) -> bytes:
    """The same function with one activation a thousand times the others, which leaves those no levels."""
    model = onnx.load_from_string(content)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}

    def scale(name: str, where: Any, factor: float) -> None:
        array = onnx.numpy_helper.to_array(tensors[name]).copy()
        array[where] *= factor
        tensors[name].CopyFrom(onnx.numpy_helper.from_array(array, name))

    scale("network.stages.stem.0.weight", 0, 3000)
    scale("network.stages.stem.0.weight_bias", 0, 3000)
    scale("network.stages.middle.1.0.weight", (slice(None), 0), 1 / 3000)
    return model.SerializeToString()


def test_a_model_that_would_lose_is_refused_with_figures(
    measured: bytes, data: CalibrationData, tmp_path: Path
) -> None:
    wide = widen_one_channel(measured)
    images = Preprocessor(read_spec_of(wide).preprocessing).batch(data.validation.stack())
    answers = [open_model(content).logits(images) for content in (measured, wide)]
    np.testing.assert_allclose(*answers, atol=1e-2)
    with pytest.raises(
        ExportError,
        match=r"int8 would lose too much: \d+\.\d\d% of 30 validation images are right in float, "
        r"in int8 \d+\.\d\d% \(\w+\), \d+\.\d\d% \(\w+, .* and .* in float\); 0\.05 points may be lost",
    ):
        export_int8(wide, data, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def read_spec_of(content: bytes) -> ModelSpec:
    return open_model(content).spec


def test_the_first_and_the_last_layer_stay_in_float_where_that_saves_it(
    measured: bytes, data: CalibrationData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = int8._quantised

    def spoilt(model: onnx.ModelProto, method: str, float_nodes: Any, images: Any) -> onnx.ModelProto:
        quantised = real(model, method, float_nodes, images)
        if not float_nodes:
            for tensor in quantised.graph.initializer:
                if tensor.name == "network.head.weight_quantized":
                    tensor.raw_data = bytes(len(tensor.raw_data))
        return quantised

    monkeypatch.setattr(int8, "_quantised", spoilt)
    done = export_int8(measured, data, tmp_path / "model.onnx")
    nodes = {node.name: node for node in onnx.load(done.path).graph.node}
    first, last = (nodes[name] for name in done.spec.quantisation.float_nodes)
    assert (first.input[0], last.output[0]) == ("images", "logits")
    assert [node.input[1] for node in (first, last)] == [
        "network.stages.stem.0.weight",
        "network.head.weight",
    ]


@pytest.mark.parametrize(
    ("right", "of", "passes"),
    [(9995, 10_000, True), (9994, 10_000, False), (1999, 2000, True), (1998, 1999, False), (30, 30, True)],
)
def test_half_a_tenth_of_a_point_may_be_lost(right: int, of: int, passes: bool) -> None:
    record = Quantisation("minmax", (), 300, of, right / of, 1.0, 1.0)
    assert int8._Attempt(b"", read_spec(model_path("digits")), record, 0.0).passes is passes


def test_an_int8_model_is_not_quantised_again(done: Exported, data: CalibrationData, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="'tiny' is int8 already"):
        export_int8(done.path.read_bytes(), data, tmp_path / "twice.onnx")


def test_what_is_no_model_is_told(data: CalibrationData, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        export_int8(b"no model", data, tmp_path / "model.onnx")


def test_a_graph_that_the_quantiser_cannot_take_is_told(
    measured: bytes, data: CalibrationData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise ValueError("no such tensor\nand much more")

    monkeypatch.setattr("onnxruntime.quantization.quantize_static", lambda *a, **k: fail())
    with pytest.raises(ExportError, match=r"cannot quantise this graph \(no such tensor\); ship the float"):
        export_int8(measured, data, tmp_path / "model.onnx")


def test_a_folder_that_is_absent_is_told(measured: bytes, data: CalibrationData, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no folder"):
        export_int8(measured, data, tmp_path / "absent" / "model.onnx")


# --- the record in the spec ----------------------------------------------------------------------


def test_a_float_models_spec_is_written_as_before(tiny_model: Path) -> None:
    assert "quantisation" not in read_spec(tiny_model).to_json()


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('"calibration_n":270', '"calibration_n":0', "'quantisation.calibration_n' must be at least 1"),
        ('"n":30', '"n":0', "'quantisation.n'"),
        ('"agreement":1.0', '"agreement":1.5', "'quantisation.agreement' must be in"),
        ('"float_nodes":[]', '"float_nodes":[3]', r"'quantisation.float_nodes\[0\]'"),
        ('"method":', '"methods":', "'quantisation' has no key 'method'"),
    ],
)
def test_a_wrong_record_is_refused(done: Exported, old: str, new: str, key: str) -> None:
    record = Quantisation("minmax", (), 270, 30, 1.0, 1.0, 1.0)
    text = replace(done.spec, quantisation=record, selective=None).to_json()
    assert text.count(old) == 1
    with pytest.raises(ModelFileError, match=key):
        ModelSpec.from_json(text.replace(old, new))


def test_a_record_survives_the_spec(done: Exported) -> None:
    assert ModelSpec.from_json(done.spec.to_json()) == done.spec
    assert ModelSpec.from_json(replace(done.spec, quantisation=None).to_json()).quantisation is None
