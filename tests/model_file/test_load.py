from __future__ import annotations

import contextlib
import hashlib
import io
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from PIL import Image

from kalamos.alphabets import Alphabet
from kalamos.errors import (
    KalamosError,
    ModelFileError,
    ModelNotFoundError,
    SpecVersionError,
    UnsupportedModelError,
)
from kalamos.model_file import ModelSpec, open_model, read_spec
from kalamos.model_file.load import MAX_MODEL_BYTES

MakeModel = Callable[..., onnx.ModelProto]


@pytest.fixture
def good_file(good: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(good)
    return path


def test_a_good_model_opens_and_runs(good: bytes, good_file: Path, spec: ModelSpec) -> None:
    model = open_model(good_file)
    assert model.spec == spec == read_spec(good_file)
    assert (model.input_name, model.where) == ("images", good_file.as_posix())
    assert (model.size_bytes, model.sha256) == (len(good), hashlib.sha256(good).hexdigest())
    images = np.ones((5, 1, 4, 4), np.float32)
    logits, maps = model.session.run(["logits", "stem"], {model.input_name: images})
    assert (logits.shape, maps.shape) == ((5, 3), (5, 1, 4, 4))


@pytest.mark.parametrize("kind", [str, Path, os.fspath])
def test_a_path_may_be_text_or_a_path(good_file: Path, kind: Callable[[Path], str | Path]) -> None:
    assert open_model(kind(good_file)).spec.name == "tiny"


def test_bytes_open_too(good: bytes) -> None:
    assert open_model(good).where == "<bytes>"


def test_the_session_runs_on_the_cpu_without_spinning(good: bytes) -> None:
    session = open_model(good, threads=2).session
    assert session.get_providers() == ["CPUExecutionProvider"]
    options = session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_a_loaded_model_does_not_change(good: bytes) -> None:
    with pytest.raises(FrozenInstanceError):
        open_model(good).where = "elsewhere"  # type: ignore[misc]


@pytest.mark.parametrize("read", [open_model, read_spec])
def test_what_is_no_file_is_not_found(tmp_path: Path, read: Callable[[Path], object]) -> None:
    pipe = tmp_path / "pipe.onnx"
    os.mkfifo(pipe)
    for path in (tmp_path, pipe, tmp_path / "absent.onnx", Path("nul\0.onnx"), Path("/dev/null")):
        with pytest.raises(ModelNotFoundError) as caught:
            read(path)
        assert str(caught.value).startswith(path.as_posix())


def test_too_large_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as stream:
        stream.truncate(MAX_MODEL_BYTES + 1)
    begin = time.perf_counter()
    with pytest.raises(ModelFileError, match="over 160 MiB"):
        read_spec(path)
    assert time.perf_counter() - begin < 0.5


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (28, 28)).save(buffer, "PNG")
    return buffer.getvalue()


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (28, 28)).save(buffer, "JPEG")
    return buffer.getvalue()


def checkpoint() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "an empty file"),
        (png(), "a PNG image"),
        (jpeg(), "a JPEG image"),
        (checkpoint(), "PyTorch"),
        ((64).to_bytes(8, "little") + b'{"w":{"dtype":"F32"}}'.ljust(64), "a safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"just some text, nothing more", ""),
        (b"<!DOCTYPE html><title>Not Found</title>", ""),
        (bytes(1000), ""),
        (np.random.default_rng(1).bytes(1000), ""),
    ],
)
def test_what_is_no_model_is_told_so(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "digits.onnx"
    path.write_bytes(content)
    for read in (open_model, read_spec):
        with pytest.raises(ModelFileError) as caught:
            read(path)
        message = str(caught.value)
        assert message.startswith(f"{path.as_posix()}: ")
        assert what in message
        assert "not an ONNX model" in message
        assert "`kalamos export`" in message


def test_a_plain_onnx_model_is_asked_for_a_spec(make_model: MakeModel) -> None:
    with pytest.raises(SpecVersionError, match=r"no kalamos spec; write one with `kalamos export`"):
        open_model(make_model(metadata=None).SerializeToString())


def test_a_newer_spec_is_refused_with_the_file_named(make_model: MakeModel, tmp_path: Path) -> None:
    path = tmp_path / "newer.onnx"
    path.write_bytes(make_model(metadata='{"format_version": 99}').SerializeToString())
    for read in (open_model, read_spec):
        with pytest.raises(SpecVersionError, match=r"newer.onnx: .*version 99.*; upgrade kalamos"):
            read(path)


def test_a_garbage_spec_is_refused(make_model: MakeModel) -> None:
    with pytest.raises(ModelFileError, match="<bytes>: the spec is not valid JSON"):
        open_model(make_model(metadata="{garbage").SerializeToString())


def test_external_data_is_never_read(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    onnx.save_model(
        model, tmp_path / "m.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    assert (tmp_path / "weights.bin").exists()
    with pytest.raises(ModelFileError, match="external data"):
        open_model(tmp_path / "m.onnx")


def test_nan_weights_are_refused(make_model: MakeModel) -> None:
    spoilt = helper.make_tensor("spoilt", TensorProto.FLOAT, [1], [float("nan")])
    with pytest.raises(ModelFileError, match="'spoilt' holds NaN"):
        open_model(make_model(more_initializers=[spoilt]).SerializeToString())


@pytest.mark.parametrize(
    ("spoilt", "problem"),
    [
        ({"input_shape": ("batch", 1, 5, 4)}, "input 'images'"),
        ({"input_shape": ("batch", 3, 4, 4)}, "input 'images'"),
        ({"input_shape": ("batch", 16)}, "input 'images'"),
        ({"input_shape": ("batch", 1, "height", "width")}, "input 'images'"),
        ({"input_shape": (1, 1, 4, 4), "logits_shape": (1, 3)}, r"input 'images'.*\[N, 1, 4, 4\]"),
        ({"input_type": TensorProto.DOUBLE}, r"tensor\(double\)"),
        ({"logits_name": "scores"}, "not called 'logits'"),
        ({"map_name": "trunk"}, "'stem'"),
        (
            {"more_inputs": [helper.make_tensor_value_info("more", TensorProto.FLOAT, [1])]},
            "2 inputs",
        ),
        ({"more_nodes": [helper.make_node("NoSuchOperator", [], ["x"])]}, "operator 'NoSuchOperator'"),
    ],
)
def test_a_graph_that_does_not_fit_its_spec_is_refused(
    make_model: MakeModel, spoilt: dict[str, object], problem: str
) -> None:
    with pytest.raises(ModelFileError, match=problem):
        open_model(make_model(**spoilt).SerializeToString())


def test_the_classes_must_be_as_many_as_the_labels(make_model: MakeModel, spec: ModelSpec) -> None:
    two = replace(spec, alphabet=Alphabet("ab", ("a", "b"))).to_json()
    with pytest.raises(ModelFileError, match=r"'logits'.*\[N, 2\]"):
        open_model(make_model(metadata=two).SerializeToString())


def test_logits_must_have_one_row_an_image(make_model: MakeModel) -> None:
    model = make_model(logits_shape=("batch", 3, 1))
    model.graph.node[3].output[0] = "rows"
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [2])
    model.graph.initializer.append(axes)
    model.graph.node.append(helper.make_node("Unsqueeze", ["rows", "axes"], ["logits"]))
    with pytest.raises(ModelFileError, match=r"'logits'.*3, 1\].*\[N, 3\]"):
        open_model(model.SerializeToString())


def test_a_feature_map_must_be_a_map(make_model: MakeModel) -> None:
    model = make_model()
    model.graph.node[1].input[0] = "flat"
    model.graph.node.insert(3, model.graph.node.pop(1))
    model.graph.output[1].CopyFrom(helper.make_tensor_value_info("stem", TensorProto.FLOAT, [None, 16]))
    with pytest.raises(ModelFileError, match=r"feature map 'stem'.*\[N, any, any, any\]"):
        open_model(model.SerializeToString())


def test_the_number_of_classes_must_be_known(make_model: MakeModel) -> None:
    model = make_model(logits_shape=("batch", "classes"))
    # The weight's shape would tell, so it comes from a reshape that cannot be foreseen.
    model.graph.node[3].CopyFrom(helper.make_node("NonZero", ["flat"], ["places"]))
    model.graph.node.append(helper.make_node("Cast", ["places"], ["logits"], to=TensorProto.FLOAT))
    with pytest.raises(UnsupportedModelError, match="operator 'NonZero' is not one"):
        open_model(model.SerializeToString())


@pytest.mark.parametrize("name", [b"batch", b"images", b"stem"])
def test_names_that_are_not_text_are_refused(good: bytes, name: bytes) -> None:
    graph, mark, spec = good.partition(b"kalamos.spec")
    with pytest.raises(ModelFileError, match="UTF-8"):
        open_model(graph.replace(name, b"\x91" + name[1:]) + mark + spec)


def test_onnxruntime_is_quoted_in_one_short_line(
    make_model: MakeModel, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = make_model()
    name = "no" + "such" * 200
    bad.graph.node[2].output[0] = bad.graph.node[3].input[0] = name
    bad.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.INT64, None))  # it is not
    with pytest.raises(ModelFileError, match="onnxruntime cannot run this model") as caught:
        open_model(bad.SerializeToString())
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert capfd.readouterr() == ("", "")


def test_onnxruntime_warns_nobody(make_model: MakeModel, capfd: pytest.CaptureFixture[str]) -> None:
    # It finds that the logits have another shape than was declared, takes its own and says so.
    open_model(make_model(logits_shape=("batch", 3, 1)).SerializeToString())
    assert capfd.readouterr() == ("", "")


def test_a_flatbuffer_in_disguise_is_not_opened_as_one(good: bytes) -> None:
    # "ORTM" at byte 4 makes onnxruntime take the whole for its own format, unless told otherwise.
    # Here it is the text of an unknown field, so the protocol buffer is sound.
    disguised = b"\xd2\x3e\x05xORTM"
    assert disguised[4:8] == b"ORTM"
    assert open_model(disguised + good).spec.name == "tiny"


def test_read_spec_needs_no_onnxruntime(good_file: Path) -> None:
    code = (
        "import sys; from kalamos.model_file import read_spec\n"
        "name = read_spec(sys.argv[1]).name\n"
        "assert not {'onnxruntime', 'onnx', 'cv2', 'PIL'} & sys.modules.keys()\n"
        "print(name)"
    )
    done = subprocess.run([sys.executable, "-c", code, good_file], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "tiny"


def test_truncated_models_are_refused(good: bytes) -> None:
    # What is cut last is the spec, so that no truncation is a whole kalamos model.
    for length in [*range(0, len(good), 37), len(good) - 1]:
        with pytest.raises((ModelFileError, SpecVersionError)):
            open_model(good[:length])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
def test_random_files_only_raise_kalamos_errors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "random.onnx"
    path.write_bytes(content)
    with pytest.raises(KalamosError):
        read_spec(path)


@settings(max_examples=60, deadline=2000)
@given(data=st.data())
def test_mutated_models_open_or_raise_kalamos_errors(good: bytes, data: st.DataObject) -> None:
    content = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(KalamosError):
        model = open_model(bytes(content))
        assert len(model.spec.alphabet) == model.session.get_outputs()[0].shape[1]
