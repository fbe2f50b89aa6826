from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import kalamos
from kalamos.errors import ModelNotFoundError
from kalamos.model_file import read_spec
from kalamos.zoo import card_path, find_model, model_path, names

ROOT = Path(__file__).parents[2]
each_model = pytest.mark.parametrize("name", names())


def test_digits_is_shipped_and_is_the_default() -> None:
    assert "digits" in names()
    assert list(names()) == sorted(names())
    assert kalamos.load().spec == read_spec(model_path("digits"))


@each_model
def test_a_shipped_model_opens_and_says_who_it_is(name: str) -> None:
    spec = kalamos.load(name).spec
    assert spec.name == name
    assert spec.licence == "Apache-2.0"
    assert spec.training is not None
    assert spec.training.split == "train"
    assert spec.feature_maps


@each_model
def test_a_shipped_model_says_nothing_of_the_machine_that_made_it(name: str) -> None:
    content = model_path(name).read_bytes()
    for trace in (b".py", b"site-packages", b"/home/", b"/root/", b"/tmp/", b"/Users/", b"Traceback"):
        assert trace not in content


def test_a_shipped_name_goes_before_a_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits").write_bytes(b"something else")
    assert find_model("digits") == model_path("digits")
    assert find_model("./digits") == Path("digits")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("digit", r"^no model is called 'digit'; did you mean 'digits'\?$"),
        ("greek", r"^no model is called 'greek'; give a model file, or one of: .*digits"),
        ("runs/mine.onnx", r"^runs/mine.onnx: no such model file; "),
        ("digits.onnx", r"^digits.onnx: no such model file; did you mean 'digits'\?$"),
        ("x" * 300, r"^no model is called 'x+'; "),
    ],
)
def test_a_model_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError, match=told):
        find_model(wrong)


@each_model
def test_the_card_lies_beside_its_model(name: str) -> None:
    assert card_path(name) == model_path(name).with_suffix(".md")
    assert card_path(name).is_file(), f"write it with: kalamos evaluate {name} DATASET --record"


def test_the_readme_lists_the_models_as_they_are() -> None:
    check = [sys.executable, ROOT / "docs" / "make_tables.py", "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
