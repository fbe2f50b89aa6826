"""No model file takes more time or memory than is allowed, ends the process, or answers NaN."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from PIL import Image
from tests.model_file import hostile

from kalamos import Recognizer
from kalamos.errors import ModelAnswerError, ModelFileError
from kalamos.explain import occlusion
from kalamos.model_file import ModelSpec, open_model

SECONDS, MEGABYTES = 2.0, 500

Make = Callable[[ModelSpec], bytes]

WATCHED = """
import resource, sys, time
sys.path.insert(0, "")
from kalamos import Recognizer
from kalamos.errors import KalamosError
from kalamos.model_file import open_model
import numpy as np
import onnxruntime

content = sys.stdin.buffer.read()
before, start = resource.getrusage(resource.RUSAGE_SELF), time.process_time()
page = np.zeros((8, 8), np.uint8)
page[2:6, 3:5] = 255
try:
    print("answered", Recognizer(open_model(content)).predict_batch([page] * 64)[0].label)
except KalamosError as error:
    print(type(error).__name__, error.problem)
after = resource.getrusage(resource.RUSAGE_SELF)
print(time.process_time() - start, (after.ru_maxrss - before.ru_maxrss) / 1024)
"""


@pytest.fixture
def page() -> np.ndarray:
    page = np.zeros((8, 8), np.uint8)
    page[2:6, 3:5] = 255
    return page


def watched(content: bytes) -> tuple[str, float, float]:
    """What opening a model and reading 64 images ends in, by a process of its own: seconds, MiB over idle."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED], input=content, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-1000:]
    ending, figures = done.stdout.decode().splitlines()
    seconds, megabytes = map(float, figures.split())
    return ending, seconds, megabytes


@pytest.mark.parametrize("make", hostile.REFUSED.values(), ids=hostile.REFUSED.keys())
def test_what_asks_for_too_much_is_refused_before_onnxruntime_sees_it(
    make: Make, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    def seen(*_: object, **__: object) -> Iterator[None]:
        raise AssertionError("onnxruntime saw it")

    monkeypatch.setattr(onnxruntime, "InferenceSession", seen)
    content, start = make(spec), time.process_time()
    with pytest.raises(ModelFileError) as caught:
        open_model(content)
    assert time.process_time() - start < SECONDS
    assert caught.value.problem.startswith("<bytes>: ")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("make", hostile.UNUSABLE.values(), ids=hostile.UNUSABLE.keys())
def test_preprocessing_that_is_a_bomb_is_refused(make: Make, spec: ModelSpec) -> None:
    start = time.process_time()
    with pytest.raises(ModelFileError, match="preprocessing"):
        Recognizer(open_model(make(spec)))
    assert time.process_time() - start < SECONDS


@pytest.mark.parametrize("make", hostile.FAILING.values(), ids=hostile.FAILING.keys())
def test_what_fails_on_an_image_is_an_error_everywhere(
    make: Make, spec: ModelSpec, page: np.ndarray, tmp_path: Path
) -> None:
    reader = Recognizer(open_model(make(spec)))
    attempts: list[Callable[[], object]] = [
        lambda: reader.predict(page),
        lambda: reader.predict(page, min_confidence=0.5),
        lambda: reader.predict_batch([page, page]),
        lambda: reader.logits([reader.prepare(page)]),
        lambda: occlusion(reader, page),
    ]
    for attempt in attempts:
        with pytest.raises(ModelAnswerError):
            attempt()


def kalamos(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kalamos", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_failing_model_on_the_command_line(
    form: str, spec: ModelSpec, page: np.ndarray, tmp_path: Path
) -> None:
    image, path = tmp_path / "a.png", tmp_path / "nan.onnx"
    Image.fromarray(page).save(image)
    path.write_bytes(hostile.nothing_by_nothing(spec))
    done = kalamos("predict", str(image), "-m", str(path), "-f", form, "--min-confidence", "0.9")
    assert done.returncode == ModelAnswerError.exit_code
    assert "NaN or infinity" in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_no_card_is_shown_of_a_model_that_would_not_open(
    more: list[str], spec: ModelSpec, tmp_path: Path
) -> None:
    path = tmp_path / "loop.onnx"
    path.write_bytes(hostile.endless_loop(spec))
    done = kalamos("models", str(path), *more)
    assert (done.returncode, done.stdout) == (2, "")
    assert "control flow" in done.stderr


def test_images_of_a_heavy_model_are_read_in_smaller_runs(spec: ModelSpec, page: np.ndarray) -> None:
    nodes = [
        hostile.NODE("Tile", ["images", "by"], ["wide"]),
        hostile.NODE("ReduceMax", ["wide", "axes"], ["most"], keepdims=0),
        hostile.NODE("Add", ["sound", "most"], ["logits"]),
    ]
    arrays = {"by": hostile.ints(1, 1, 1024, 1024), "axes": hostile.ints(2, 3)}
    model = open_model(hostile.model(spec, nodes, arrays))
    assert model.graph.batch_size == 1  # 64 MiB an image
    images = np.random.default_rng(0).random((3, 1, 4, 4)).astype(np.float32)
    assert np.allclose(model.logits(images), np.concatenate([model.logits(image[None]) for image in images]))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no resource usage to ask for")
@pytest.mark.parametrize("name", ["product_of_constants", "many_nodes", "padded_steps", "nothing_by_nothing"])
def test_time_and_memory_are_bounded(name: str, spec: ModelSpec) -> None:
    made = hostile.REFUSED | hostile.UNUSABLE | hostile.FAILING
    ending, seconds, megabytes = watched(made[name](spec))
    assert "Error" in ending
    assert seconds < SECONDS
    assert megabytes < MEGABYTES


def mutated(content: bytes, generator: np.random.Generator) -> bytes:
    """A model with a change of its bytes, or of a field of its graph."""
    if generator.random() < 0.4:
        spoilt = bytearray(content)
        for _ in range(generator.integers(1, 4)):
            spoilt[generator.integers(len(spoilt))] = generator.integers(256)
        return bytes(spoilt)
    model = onnx.load_from_string(content)
    CHANGES[generator.integers(len(CHANGES))](model.graph, generator)
    mutant: bytes = model.SerializeToString()
    return mutant


def one(many: Sequence[Any], generator: np.random.Generator) -> Any:
    return many[int(generator.integers(len(many)))]


def another_operator(graph: onnx.GraphProto, generator: np.random.Generator) -> None:
    one(graph.node, generator).op_type = one(graph.node, generator).op_type


def another_attribute(graph: onnx.GraphProto, generator: np.random.Generator) -> None:
    attribute = one([each for node in graph.node for each in node.attribute], generator)
    value = int(one([-(2**63), -1, 0, 1, 2, 7, 1000, 2**31, 2**62], generator))
    if attribute.ints:
        attribute.ints[int(generator.integers(len(attribute.ints)))] = value
    else:
        attribute.i = value


def another_shape(graph: onnx.GraphProto, generator: np.random.Generator) -> None:
    tensor = one([each for each in graph.initializer if each.dims], generator)
    tensor.dims[int(generator.integers(len(tensor.dims)))] = one([-1, 0, 1, 3, 2**40], generator)


def other_numbers(graph: onnx.GraphProto, generator: np.random.Generator) -> None:
    tensor = one([each for each in graph.initializer if each.data_type == TensorProto.INT64], generator)
    values = numpy_helper.to_array(tensor).copy().reshape(-1)
    values[int(generator.integers(len(values)))] = one([-1, 0, 5, 2**20, 2**40], generator)
    tensor.raw_data = values.tobytes()


def another_input(graph: onnx.GraphProto, generator: np.random.Generator) -> None:
    names = [name for node in graph.node for name in (*node.input, *node.output)]
    node = one([node for node in graph.node if node.input], generator)
    node.input[int(generator.integers(len(node.input)))] = one(names, generator)


def fewer_nodes(graph: onnx.GraphProto, generator: np.random.Generator) -> None:
    del graph.node[int(generator.integers(len(graph.node)))]


def a_node_elsewhere(graph: onnx.GraphProto, generator: np.random.Generator) -> None:
    node = graph.node.pop(int(generator.integers(len(graph.node))))
    graph.node.insert(int(generator.integers(len(graph.node))), node)


CHANGES = (
    *(another_operator, another_attribute, another_shape, other_numbers, another_input, fewer_nodes),
    a_node_elsewhere,
)


@pytest.mark.parametrize("name", ["digits", "digits-large"])
def test_a_spoilt_model_answers_or_is_an_error(name: str) -> None:
    from kalamos.errors import KalamosError
    from kalamos.zoo import model_path

    content = model_path(name).read_bytes()
    page = np.zeros((28, 28), np.uint8)
    page[4:24, 13:15] = 255
    generator, endings = np.random.default_rng(19), []
    for _ in range(60):
        try:
            [answer] = Recognizer(open_model(mutated(content, generator))).predict_batch([page])
            assert answer.confidence is not None
            json.dumps(answer.confidence, allow_nan=False)
            endings.append("answer")
        except KalamosError as error:
            endings.append(type(error).__name__)
    assert {"answer", "ModelFileError", "UnsupportedModelError"} <= set(endings)
