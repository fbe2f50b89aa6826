from __future__ import annotations

import getpass
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from google.protobuf.message import Message
from torch import nn

from kalamos.errors import ExportError, ModelError, ModelFileError, OutputError
from kalamos.learn import Recipe, Run
from kalamos.learn.export import export_run, from_run
from kalamos.learn.export.base import export
from kalamos.learn.export.onnx_format import ONNX, encode_as_half, record_metric, record_robustness
from kalamos.learn.loop import infer
from kalamos.learn.models import create_model
from kalamos.model_file import METADATA_KEY, Metric, RobustnessRecord, open_model, read_spec
from kalamos.preprocessing import Preprocessor

METRIC = Metric("mnist", "test", "a" * 64, 10_000, 0.99, (0.985, 0.993), 0.01, "2026-01-31", "0.1.0")


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the model file, to be changed."""
    return Path(shutil.copy(tiny_model, tmp_path / "model.onnx"))


def scribbles(count: int) -> np.ndarray:
    return np.random.default_rng(count).random((count, 1, 28, 28), np.float32)


# --- what the file answers -----------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_the_file_answers_as_the_network(tiny_model: Path, tiny_run: Run, count: int) -> None:
    model = open_model(tiny_model)
    images = scribbles(count)
    [logits] = model.session.run(["logits"], {model.input_name: images})
    assert logits.shape == (count, 10)
    np.testing.assert_allclose(logits, infer(tiny_run.network, images), atol=1e-4)


def test_the_feature_maps_are_outputs_after_the_logits(tiny_model: Path, tiny_run: Run) -> None:
    model = open_model(tiny_model)
    assert [output.name for output in model.session.get_outputs()] == ["logits", "stem", "middle", "deep"]
    images = scribbles(3)
    answered = model.session.run(None, {model.input_name: images})
    with torch.inference_mode():
        expected = tiny_run.network.forward_features(torch.from_numpy(images))
    for ours, theirs in zip(answered, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4)


def test_the_spec_tells_the_run(tiny_model: Path, tiny_run: Run) -> None:
    spec = read_spec(tiny_model)
    assert (spec.name, spec.architecture, spec.parameters) == ("tiny", "kalamos_xs", 86_218)
    assert (spec.alphabet, spec.temperature, spec.input_size) == (tiny_run.alphabet, tiny_run.temperature, 28)
    assert spec.preprocessing == tuple(dict(step) for step in tiny_run.recipe.preprocessing)
    assert spec.feature_maps == ("stem", "middle", "deep")
    assert spec.metrics == ()
    assert spec.training is not None
    assert (spec.training.n, spec.training.sha256) == (tiny_run.train_count, tiny_run.data_sha256)
    assert Recipe.from_mapping(spec.training.recipe) == tiny_run.recipe


# --- what the file is ----------------------------------------------------------------------------


def texts(message: Message) -> Iterator[str]:
    """Every string of a protocol buffer, whatever it is for."""
    for field, value in message.ListFields():
        values = [value] if isinstance(value, (str, bytes, int, float, Message)) else value
        for each in values:
            if isinstance(each, Message):
                yield from texts(each)
            elif isinstance(each, str):
                yield each
            elif isinstance(each, bytes) and field.name != "raw_data":
                yield each.decode()


def test_the_file_says_nothing_of_the_machine(tiny_model: Path) -> None:
    model = onnx.load(tiny_model)
    assert [entry.key for entry in model.metadata_props] == [METADATA_KEY]
    found = list(texts(model))
    assert "images" in found
    for text in found:
        assert "/" not in text
        assert ".py" not in text
    content = tiny_model.read_bytes()
    home = Path.home()
    for betrayal in (
        str(home) if len(str(home)) > 2 else "",
        sys.prefix,
        "site-packages",
        "stack_trace",
        __file__,
    ):
        assert not betrayal or betrayal.encode() not in content
    for name in {getpass.getuser(), socket.gethostname(), platform.node()}:
        assert name not in {word for text in found for word in text.replace('"', " ").split()}


def test_the_weights_are_inside_and_few(tiny_model: Path) -> None:
    model = onnx.load(tiny_model, load_external_data=False)
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer)
    assert tiny_model.stat().st_size < 400_000
    # Batch norm is folded into the convolutions, for speed.
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}


def test_the_same_run_gives_the_same_bytes_in_another_process(
    tiny_model: Path, tiny_run_folder: Path, tmp_path: Path
) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from kalamos.learn.export import export_run\n"
        "from kalamos.learn import load_run\n"
        "export_run(load_run(Path(sys.argv[1])), 'tiny', Path(sys.argv[2]))\n"
    )
    path = tmp_path / "again.onnx"
    # Another seed of the hashes, and with it another order in every set.
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    subprocess.run([sys.executable, "-c", script, tiny_run_folder, path], check=True, env=environment)
    assert path.read_bytes() == tiny_model.read_bytes()


def test_another_alphabet_and_another_input_size(tiny_run: Run, tmp_path: Path) -> None:
    steps = ({"step": "resize", "size": 24}, {"step": "centre", "size": 32}, {"step": "normalise"})
    run = replace(tiny_run, recipe=replace(tiny_run.recipe, preprocessing=steps))
    spec = export_run(run, "wide", tmp_path / "wide.onnx")
    assert spec.input_size == 32
    model = open_model(tmp_path / "wide.onnx")
    images = np.random.default_rng(0).random((2, 1, 32, 32), np.float32)
    [logits] = model.session.run(["logits"], {model.input_name: images})
    np.testing.assert_allclose(logits, infer(run.network, images), atol=1e-4)


# --- what is refused -----------------------------------------------------------------------------


def test_nothing_is_written_when_the_answers_differ(tiny_run: Run, tiny_model: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    stranger = replace(tiny_run, network=create_model("kalamos_xs", 10))
    planted = replace(ONNX, encode=lambda network, spec: tiny_model.read_bytes())
    with pytest.raises(ExportError, match="the onnx file differs from the network by"):
        export(from_run(stranger, "tiny"), planted, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_frozen_batch_is_caught(tiny_run: Run, tiny_model: Path, tmp_path: Path) -> None:
    model = onnx.load(tiny_model)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2
    planted = replace(ONNX, encode=lambda network, spec: model.SerializeToString())
    with pytest.raises(ModelFileError, match=r"is tensor\(float\) \[2, 1, 28, 28\]"):
        export(from_run(tiny_run, "tiny"), planted, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_survives_a_failed_export(tiny_run: Run, model: Path) -> None:
    before = model.read_bytes()
    broken = onnx.load(model)
    [bias] = [tensor for tensor in broken.graph.initializer if tensor.name == "network.head.bias"]
    bias.raw_data = np.full(10, np.nan, np.float32).tobytes()
    planted = replace(ONNX, encode=lambda network, spec: broken.SerializeToString())
    with pytest.raises(ModelFileError, match="NaN"):
        export(from_run(tiny_run, "tiny"), planted, model)
    assert model.read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("name", ["", "  ", "line\nbreak"])
def test_a_name_that_cannot_be_shown_is_refused(tiny_run: Run, tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelFileError, match="'name'"):
        export_run(tiny_run, name, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "steps",
    [
        ({"step": "normalise"},),  # leaves every image its own size
        ({"step": "ink"}, {"step": "crop"}, {"step": "resize", "size": 20}, {"step": "normalise"}),
    ],
)
def test_preprocessing_that_makes_no_squares_is_refused(
    tiny_run: Run, tmp_path: Path, steps: tuple[dict[str, object], ...]
) -> None:
    run = replace(tiny_run, recipe=replace(tiny_run.recipe, preprocessing=steps))
    with pytest.raises(ExportError, match="square of one size; put a 'centre' step"):
        export_run(run, "tiny", tmp_path / "model.onnx")


def test_a_folder_that_is_absent_is_an_output_error(tiny_run: Run, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no folder"):
        export_run(tiny_run, "tiny", tmp_path / "absent" / "model.onnx")


def test_a_network_of_half_weights_is_refused_where_its_file_answers_otherwise() -> None:
    network = nn.Linear(8, 8)
    inputs = [torch.ones(2, 8), torch.ones(5, 8)]

    def encode() -> bytes:
        free = {0: torch.export.Dim("batch")}
        return encode_as_half(
            network, inputs, names=("in", "out"), dynamic_shapes=free, properties={"is": "half"}, max_gap=1e-5
        )

    model = onnx.load_from_string(encode())
    assert {entry.key: entry.value for entry in model.metadata_props} == {"is": "half"}
    assert onnx.TensorProto.FLOAT16 in {tensor.data_type for tensor in model.graph.initializer}
    inputs[1][3, 3] = torch.nan  # which equals nothing, so that any answer is another
    with pytest.raises(ExportError, match="answers otherwise than the network itself, by nan"):
        encode()


# --- figures -------------------------------------------------------------------------------------


def graph_of(path: Path) -> bytes:
    return onnx.load(path).graph.SerializeToString(deterministic=True)


def test_a_figure_is_kept_with_the_model(model: Path) -> None:
    before, graph = read_spec(model), graph_of(model)
    returned = record_metric(model, METRIC)
    assert read_spec(model) == returned == replace(before, metrics=(METRIC,))
    assert graph_of(model) == graph
    assert open_model(model).spec == returned


def test_a_new_figure_replaces_the_old_one_on_the_same_data(model: Path) -> None:
    others = [replace(METRIC, split="train"), replace(METRIC, dataset="usps")]
    for metric in (METRIC, *others):
        record_metric(model, metric)
    better = replace(METRIC, accuracy=0.995, interval=(0.99, 0.997), sha256="b" * 64)
    assert record_metric(model, better).metrics == (*others, better)


def test_recording_twice_gives_the_same_file(model: Path) -> None:
    record_metric(model, METRIC)
    once = model.read_bytes()
    record_metric(model, METRIC)
    assert model.read_bytes() == once


def test_what_else_a_file_remembers_stays(model: Path) -> None:
    proto = onnx.load(model)
    entry = proto.metadata_props.add()
    entry.key, entry.value = "kalamos.memory", "of embeddings"
    onnx.save(proto, model)
    record_metric(model, METRIC)
    kept = {entry.key: entry.value for entry in onnx.load(model).metadata_props}
    assert kept["kalamos.memory"] == "of embeddings"
    assert len(kept) == 2


@pytest.mark.parametrize("content", [None, b"", b"no model"])
def test_what_is_no_model_keeps_its_bytes(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "file.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError):
        record_metric(path, METRIC)
    assert (path.read_bytes() if path.exists() else None) == content


def test_the_exported_preprocessing_is_the_trained_one(tiny_model: Path, tiny_run: Run) -> None:
    page = np.full((90, 70), 240, np.uint8)
    page[15:70, 30:38] = 20
    ours, theirs = (
        Preprocessor(read_spec(tiny_model).preprocessing),
        Preprocessor(tiny_run.recipe.preprocessing),
    )
    assert np.array_equal(ours.batch([ours.image(page)]), theirs.batch([theirs.image(page)]))


def test_the_file_says_which_confidence_reached_which_accuracy(tiny_run: Run, tiny_model: Path) -> None:
    selective = open_model(tiny_model).spec.selective
    assert selective is not None
    assert selective == tiny_run.selective
    assert selective.n == tiny_run.val_count
    assert selective.points[0].accuracy == pytest.approx(tiny_run.val_accuracy)


def test_a_run_without_the_table_makes_a_model_without_it(tiny_run: Run, tmp_path: Path) -> None:
    spec = export_run(replace(tiny_run, selective=None), "older", tmp_path / "older.onnx")
    assert spec.selective is None
    assert "selective" not in json.loads(spec.to_json())


def test_figures_under_shift_are_stored_in_the_file(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.onnx"
    shutil.copy(tiny_model, path)
    shift = RobustnessRecord("shift", "mean", 0.9, 100, "2026-03-31")
    record_robustness(path, [shift, RobustnessRecord("outliers", "mean", 0.8, 10, "2026-03-31")])
    better = replace(shift, value=0.95, n=200)
    spec = record_robustness(path, [better])
    assert spec == open_model(path).spec
    assert spec.robustness == (better, RobustnessRecord("outliers", "mean", 0.8, 10, "2026-03-31"))
    assert replace(spec, robustness=()) == open_model(tiny_model).spec
