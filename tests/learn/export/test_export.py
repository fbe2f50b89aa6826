"""The formats that PyTorch reads; ONNX has a module of its own."""

from __future__ import annotations

import copy
import io
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kalamos.cli.models import EXPORT_FORMATS
from kalamos.errors import ExportError, KalamosError, MissingExtraError, OutputError, UsageError
from kalamos.learn import Run
from kalamos.learn.export import FORMATS, export_model, from_run
from kalamos.learn.export.base import BATCH_SIZES, SPEC_FILE, Exported, Format, Source, export
from kalamos.learn.loop import infer
from kalamos.learn.models import ARCHITECTURES, StagedNetwork, create_model
from kalamos.model_file import ModelSpec

TORCH = ("torchscript", "pt2", "full", "state-dict")

litert = pytest.mark.skipif(
    not find_spec("litert_torch"), reason="needs the extra 'litert', which asks for an older torch"
)

each_format = pytest.mark.parametrize("form", [FORMATS[name] for name in TORCH], ids=TORCH)


@pytest.fixture(scope="module")
def written(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """The tiny run in every format, each in a folder of its own. Read them only."""
    folder = tmp_path_factory.mktemp("written")
    for name in TORCH:
        (folder / name).mkdir()
    return {
        name: export(from_run(tiny_run, "tiny"), FORMATS[name], folder / name / f"ب{FORMATS[name].suffix}")
        for name in TORCH
    }


def images_of(source: Source, count: int) -> np.ndarray:
    size = source.spec.input_size
    return np.random.default_rng(count).random((count, 1, size, size), np.float32)


# --- what is written -----------------------------------------------------------------------------


@each_format
def test_the_file_answers_as_the_network(form: Format, source: Source, written: dict[str, Exported]) -> None:
    done = written[form.name]
    assert done.difference < 2e-5
    assert done.size_bytes == done.path.stat().st_size
    answer = form.decode(done.path.read_bytes(), source.spec)
    for count in (*BATCH_SIZES, 64):
        images = images_of(source, count)
        np.testing.assert_allclose(answer(images), infer(source.network, images), atol=1e-4)


@each_format
def test_the_file_says_nothing_of_the_machine(
    form: Format, written: dict[str, Exported], betrayals: list[bytes]
) -> None:
    done = written[form.name]
    with zipfile.ZipFile(done.path) as archive:
        parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    assert parts
    for name, part in {"": done.path.read_bytes(), **parts}.items():
        for betrayal in betrayals:
            assert betrayal not in part, name
            assert betrayal not in name.encode()


@pytest.mark.parametrize("name", ["torchscript", "pt2"])
def test_the_spec_travels_inside(name: str, source: Source, written: dict[str, Exported]) -> None:
    path = written[name].path
    extra = {SPEC_FILE: ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "torchscript":
            torch.jit.load(path, _extra_files=extra)
        else:
            torch.export.load(path, extra_files=extra)
    text = extra[SPEC_FILE]
    assert ModelSpec.from_json(text.decode() if isinstance(text, bytes) else text) == source.spec
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["full", "state-dict"])
def test_the_spec_lies_beside(name: str, source: Source, written: dict[str, Exported]) -> None:
    path = written[name].path
    beside = path.with_name(f"{path.name}.json")
    assert ModelSpec.from_json(beside.read_text("utf-8")) == source.spec
    assert {*path.parent.iterdir()} == {path, beside}


LOADERS = {name: FORMATS[name].opens_with.format("path") for name in ("torchscript", "pt2", "full")}


def test_others_load_the_files_as_they_are_used_to(
    source: Source, written: dict[str, Exported], tmp_path: Path
) -> None:
    """In a fresh process, in which kalamos is not imported but by the pickle itself."""
    np.save(tmp_path / "images.npy", images_of(source, 3))
    script = "import sys, warnings, numpy, torch\nwarnings.simplefilter('ignore')\n"
    script += "images = torch.from_numpy(numpy.load('images.npy'))\n"
    for name, loader in LOADERS.items():
        script += f"path = {str(written[name].path)!r}\nnetwork = {loader}\n"
        script += f"assert ('kalamos' in sys.modules) == {name == 'full'}\n"
        script += f"numpy.save('{name}.npy', network(images).detach().numpy())\n"
    script += f"state = torch.load({str(written['state-dict'].path)!r}, weights_only=True)\n"
    script += "assert 'head.bias' in state\n"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    expected = infer(source.network, images_of(source, 3))
    for name in LOADERS:
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected, atol=1e-4)


def test_a_state_dict_is_tensors_alone(source: Source) -> None:
    content = FORMATS["state-dict"].encode(source.network, source.spec)
    state = torch.load(io.BytesIO(content), weights_only=True)
    expected = source.network.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], expected[name]) for name in expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES.names())
def test_every_architecture_can_be_traced_and_saved(
    architecture: str, fresh_source: Callable[[str], Source]
) -> None:
    source = fresh_source(architecture)
    for name in ("torchscript", "full", "state-dict"):
        _, difference = FORMATS[name].checked(source)
        assert difference < 1e-5


@litert
@pytest.mark.filterwarnings("ignore")
def test_litert_answers_as_the_network_at_every_batch_size(source: Source, tmp_path: Path) -> None:
    done = export(source, FORMATS["litert"], tmp_path / "tiny.tflite")
    assert done.difference < 2e-5
    assert done.path.read_bytes()[4:8] == b"TFL3"
    assert ModelSpec.from_json((tmp_path / "tiny.tflite.json").read_text("utf-8")) == source.spec
    answer = FORMATS["litert"].decode(done.path.read_bytes(), source.spec)
    for count in (5, 1, 64):
        np.testing.assert_allclose(
            answer(images_of(source, count)), infer(source.network, images_of(source, count)), atol=1e-4
        )


def test_litert_says_what_it_needs(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kalamos.errors.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"kalamos\[litert\]"):
        export(source, FORMATS["litert"], tmp_path / "tiny.tflite")
    assert not list(tmp_path.iterdir())


def test_a_network_in_training_mode_is_exported_for_use(source: Source, tmp_path: Path) -> None:
    network = copy.deepcopy(source.network).train()
    done = export(replace(source, network=network), FORMATS["full"], tmp_path / "full.pt")
    assert not torch.load(done.path, weights_only=False).training


def test_the_command_offers_the_formats_that_there_are() -> None:
    assert tuple(FORMATS) == EXPORT_FORMATS
    assert len({form.suffix for form in FORMATS.values()}) == len(FORMATS)


# --- what is refused -----------------------------------------------------------------------------


def planted(form: Format, change: Callable[[StagedNetwork], object]) -> Format:
    """The format, writing another network than the one it was given."""

    def encode(network: StagedNetwork, spec: ModelSpec) -> bytes:
        other = copy.deepcopy(network)
        with torch.no_grad():
            change(other)
        return form.encode(other, spec)

    return replace(form, encode=encode)


def refused(source: Source, form: Format, folder: Path) -> str:
    with pytest.raises(ExportError) as caught:
        export(source, form, folder / f"model{form.suffix}")
    assert list(folder.iterdir()) == []
    return str(caught.value)


@each_format
def test_a_changed_weight_is_caught(form: Format, source: Source, tmp_path: Path) -> None:
    told = refused(source, planted(form, lambda network: network.head.bias.add_(0.01)), tmp_path)
    assert told.startswith(f"the {form.name} file differs from the network by 0.01 at batch size 1")


@pytest.mark.parametrize("name", ["torchscript", "pt2", "full"])
def test_a_network_left_in_training_mode_is_caught(name: str, source: Source, tmp_path: Path) -> None:
    told = refused(source, planted(FORMATS[name], lambda network: network.train()), tmp_path)
    assert f"the {name} file" in told


def test_a_frozen_batch_is_caught_in_pt2(source: Source, tmp_path: Path) -> None:
    def encode(network: StagedNetwork, spec: ModelSpec) -> bytes:
        stream = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.save(torch.export.export(network, (torch.zeros(2, 1, 28, 28),)), stream)
        return stream.getvalue()

    told = refused(source, replace(FORMATS["pt2"], encode=encode), tmp_path)
    assert told.startswith("the pt2 file fails at batch size 1: ")


class FrozenHead(nn.Module):
    """Makes the size of the batch a Python number, which a trace writes down as it is."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, middle: Tensor, deep: Tensor) -> Tensor:
        return self.head(middle, deep) + torch.zeros(len(deep.tolist()), 1)


def test_a_frozen_batch_is_caught_in_torchscript(source: Source, tmp_path: Path) -> None:
    network = copy.deepcopy(source.network)
    network.head = FrozenHead(network.head)
    told = refused(replace(source, network=network), FORMATS["torchscript"], tmp_path)
    assert told.startswith("the torchscript file answers [2, 10] at batch size 1, where the network answers")


def test_weights_of_another_architecture_are_caught(source: Source, tmp_path: Path) -> None:
    form = replace(
        FORMATS["state-dict"],
        encode=lambda _, spec: FORMATS["state-dict"].encode(create_model("cnn2", 10), spec),
    )
    told = refused(source, form, tmp_path)
    assert told.startswith(
        "PyTorch cannot write this kalamos_xs as state-dict (Error(s) in loading state_dict"
    )


def test_what_cannot_be_pickled_is_told(source: Source, tmp_path: Path) -> None:
    network = copy.deepcopy(source.network)
    network.secret = lambda: None  # type: ignore[assignment]
    told = refused(replace(source, network=network), FORMATS["full"], tmp_path)
    assert told.startswith("PyTorch cannot write this kalamos_xs as full (")
    assert told.endswith("; choose another format")


def test_an_older_file_survives(source: Source, tmp_path: Path) -> None:
    form, path = FORMATS["full"], tmp_path / "model.pt"
    export(source, form, path)
    before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    with pytest.raises(ExportError):
        export(source, planted(form, lambda network: network.head.bias.add_(1)), path)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before


@pytest.mark.parametrize("blocked", ["model.pt", "model.pt.json"])
def test_both_files_or_neither(source: Source, tmp_path: Path, blocked: str) -> None:
    (tmp_path / blocked).mkdir()
    with pytest.raises(OutputError, match="folder"):
        export(source, FORMATS["full"], tmp_path / "model.pt")
    assert [entry.name for entry in tmp_path.iterdir()] == [blocked]


def test_export_model_takes_a_run_its_folder_or_a_model_file(
    tiny_run: Run, tiny_run_folder: Path, tmp_path: Path
) -> None:
    first = export_model(tiny_run, tmp_path / "mine.onnx", licence=" MIT ")
    again = export_model(tiny_run_folder, tmp_path / "again.pt2", format="pt2")
    third = export_model(first.path, format="state-dict")
    assert (first.spec.name, first.spec.licence, again.spec.name) == ("mine", "MIT", "again")
    assert third.path == tmp_path / "mine.state-dict.pt"
    assert third.spec == first.spec


def test_export_model_quantises_with_the_runs_own_split(
    tiny_run: Run, digits_folder: Path, tmp_path: Path
) -> None:
    done = export_model(tiny_run, tmp_path / "small.onnx", int8=True, data_dir=digits_folder)
    assert done.spec.quantisation is not None
    assert done.spec.quantisation.n == tiny_run.val_count
    assert done.float_bytes is not None
    assert done.size_bytes < done.float_bytes


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("digits", {}, "digits: already an onnx model"),
        ("digits", {"format": "onxx"}, "unknown export format 'onxx'; did you mean 'onnx'"),
        ("digits", {"format": "pt2", "int8": True}, "int8 is for onnx, not for pt2"),
        ("digits", {"format": "pt2", "destination": "a.onnx"}, "has to end in .pt2"),
        ("digist", {"format": "pt2"}, "did you mean 'digits'"),
        ("no/such", {}, "no/such: has no run.json"),
    ],
)
def test_what_export_model_refuses(source: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(KalamosError, match=message):
        export_model(source, **options)


def test_a_run_without_a_folder_needs_a_name(tiny_run: Run) -> None:
    with pytest.raises(UsageError, match="name the file to write"):
        export_model(replace(tiny_run, folder=None))
