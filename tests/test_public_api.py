from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import entry_points, version
from pathlib import Path

import cv2
import numpy as np
import pytest

import kalamos

STUB = Path(kalamos.__file__).read_text(encoding="utf-8")


def test_all_is_sorted_and_each_name_is_there() -> None:
    assert list(kalamos.__all__) == sorted(kalamos.__all__)
    assert len(set(kalamos.__all__)) == len(kalamos.__all__)
    for name in kalamos.__all__:
        assert getattr(kalamos, name) is not None


def test_a_star_import_and_dir_give_these_names_and_no_others() -> None:
    names: dict[str, object] = {}
    exec("from kalamos import *", names)  # noqa: S102
    assert sorted(names.keys() - {"__builtins__"}) == kalamos.__all__
    assert dir(kalamos) == kalamos.__all__


def test_type_checkers_are_told_the_names_that_load_late() -> None:
    imports = [node for node in ast.walk(ast.parse(STUB)) if isinstance(node, ast.ImportFrom)]
    told = {
        alias.asname or alias.name
        for node in imports
        if (node.module or "").split(".")[0] == "kalamos"
        for alias in node.names
    }
    assert told == set(kalamos.__all__)


def test_a_name_is_the_very_thing_of_its_module() -> None:
    from kalamos.errors import NoInkError
    from kalamos.recognizer import load

    assert kalamos.load is load
    assert kalamos.NoInkError is NoInkError


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'kalamos' has no attribute 'laod'"):
        _ = kalamos.laod


def test_the_version_is_that_of_the_package() -> None:
    assert kalamos.__version__ == version("kalamos")


def test_the_package_brings_the_command_and_its_types() -> None:
    [script] = entry_points(group="console_scripts", name="kalamos")
    assert script.value == "kalamos.cli:main"
    assert Path(kalamos.__file__).with_name("py.typed").exists()


def test_the_error_tree_is_at_hand() -> None:
    code = "import kalamos; assert issubclass(kalamos.errors.NoInkError, kalamos.KalamosError)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_needs_torch_says_so_where_it_is_missing() -> None:
    code = """
import sys
sys.modules["torch"] = None
import kalamos
try:
    kalamos.train
except kalamos.errors.MissingExtraError as error:
    assert "kalamos.train needs torch" in str(error) and "kalamos[train]" in str(error), error
else:
    raise SystemExit("no error")
kalamos.list_models()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_model_is_evaluated_on_what_a_run_held_out(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    images = np.random.default_rng(0).integers(0, 99, (40, 28, 28), np.uint8)
    images[::2, 4:24, 13:15] = 255
    images[1::2, 13:15, 4:24] = 255
    labels = np.tile([0, 1], 20)
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        (tmp_path / "letters" / "IO"[label]).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "letters" / "IO"[label] / f"{row}.png"), image)
    run = kalamos.train(
        tmp_path / "letters",
        arch="cnn2",
        epochs=1,
        val_fraction=0.2,
        outliers=0,
        run_dir=tmp_path / "run",
        device="cpu",
    )
    model = run.export(tmp_path / "letters.onnx")
    held_out = model.evaluate(tmp_path / "letters", split_of=run)
    assert held_out.n == len(run.split.val) < 40
    assert kalamos.evaluate(model, tmp_path / "letters", split_of=tmp_path / "run").sha256 == held_out.sha256
    assert model.evaluate(tmp_path / "letters").n == 40
    with pytest.raises(kalamos.errors.UsageError, match="kept no test part"):
        model.evaluate(tmp_path / "letters", split_of=run, split="test")
    dataset = kalamos.load_dataset(tmp_path / "letters")
    other = replace(dataset, train=dataset.train.take(np.arange(30)))
    with pytest.raises(kalamos.errors.DatasetError, match="trained on other images"):
        model.evaluate(other, split_of=run)
