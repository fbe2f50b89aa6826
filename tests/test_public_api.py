from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

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
        alias.name
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
