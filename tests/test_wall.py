"""What is loaded, seen from a fresh process: the learning half stays out, and start-up stays light."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEARNING = {"torch", "torchvision", "accelerate", "safetensors", "sklearn", "scipy", "matplotlib"}
LEARNING |= {"onnx", "onnxscript", "gradio", "ray"}
HEAVY = {"PIL", "pandas", "pyarrow", "pydantic", "typer"}
FORMS = {"pypdfium2", "pillow_heif", "stdnum", "openpyxl", "fpdf", "uharfbuzz", "segno"}


def loaded(tmp_path: Path, code: str, *arguments: str) -> set[str]:
    """The modules that are loaded when a fresh process that ran `code` ends."""
    target = tmp_path / "modules.json"
    report = f"open({str(target)!r}, 'w').write(json.dumps(sorted(sys.modules)))"
    program = f"import atexit, json, sys\natexit.register(lambda: {report})\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    return set(json.loads(target.read_text()))


def packages(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def command(tmp_path: Path, *arguments: str) -> set[str]:
    return loaded(tmp_path, "from kalamos.cli import main\nmain()", *arguments)


def test_importing_kalamos_loads_nothing(tmp_path: Path) -> None:
    before = loaded(tmp_path, "")
    modules = loaded(tmp_path, "import kalamos") - before
    assert {module for module in modules if module.startswith("kalamos")} == {
        "kalamos",
        "kalamos._version",
        "kalamos.privacy",
    }
    assert packages(modules) - {"kalamos"} <= sys.stdlib_module_names


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("predict", "samples/0-pen.png", "-q"), ("models",), ("models", "digits")],
    ids=" ".join,
)
def test_the_command_loads_no_learning_library(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    modules = command(tmp_path, *arguments)
    assert "kalamos.cli" in modules
    assert packages(modules) & (LEARNING | HEAVY | FORMS) == set()


def test_help_loads_not_even_numpy(tmp_path: Path) -> None:
    assert packages(command(tmp_path, "predict", "--help")) & {"numpy", "cv2", "onnxruntime", "rich"} == set()


def parts(modules: set[str]) -> set[str]:
    """The folders and modules of kalamos, without what is inside them."""
    return {module.split(".")[1] for module in modules if module.startswith("kalamos.")}


NOT_FOR_READING = {"app", "cluster", "datasets", "evaluation", "explain", "finetune", "inspection", "learn"}


def test_help_loads_its_own_verbs_and_click_and_nothing_else(tmp_path: Path) -> None:
    modules = command(tmp_path, "--help") - loaded(tmp_path, "")
    assert packages(modules) - sys.stdlib_module_names == {"kalamos", "click"}
    reading = {"images", "inputs", "isolation", "model_file", "preprocessing", "recognizer", "writers"}
    assert parts(modules) & (NOT_FOR_READING | reading) == set()


def test_one_image_loads_three_libraries_and_nothing_that_is_not_for_reading(tmp_path: Path) -> None:
    floor = loaded(tmp_path, "import numpy, cv2, onnxruntime")
    modules = command(tmp_path, "predict", "samples/0-pen.png", "-q") - floor
    assert packages(modules) - sys.stdlib_module_names == {"kalamos", "click", "numpy"}
    # Of numpy, the names for its types alone.
    assert {m for m in modules if m.startswith("numpy.")} <= {"numpy.typing", "numpy._typing._add_docstring"}
    assert parts(modules) & NOT_FOR_READING == set()
    # What the interpreter brings for work that one image does not give.
    assert modules & {"subprocess", "socket", "ssl", "tempfile", "shutil", "asyncio", "unittest"} == set()


def test_one_image_needs_no_pool_no_bar_no_other_verb_and_no_container(tmp_path: Path) -> None:
    modules = command(tmp_path, "predict", "samples/0-pen.png")
    assert packages(modules) >= {"numpy", "cv2", "onnxruntime"}
    assert modules & {"rich", "concurrent.futures", "asyncio", "multiprocessing"} == set()
    verbs = {"train", "evaluate", "export", "models", "compare", "data", "teach", "app"}
    assert modules & {f"kalamos.cli.{verb}" for verb in verbs} == set()
    assert modules & {"zipfile", "tarfile", "csv", "gzip", "bz2", "lzma"} == set()


def test_reading_and_evaluating_in_python_load_no_learning_library(tmp_path: Path) -> None:
    code = (
        "import kalamos, kalamos.datasets, kalamos.evaluation.evaluate\n"
        "reader = kalamos.load()\n"
        "list(reader.predict_folder('samples'))\n"
        "reader.feature_maps('samples/0-pen.png')\n"
    )
    assert packages(loaded(tmp_path, code)) & (LEARNING | HEAVY) == set()
