"""`kalamos compare`, from options to files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kalamos.cli.train import parse_settings

pytestmark = pytest.mark.usefixtures("training")


@pytest.fixture(scope="module")
def training() -> None:
    for name in ("torch", "safetensors", "onnx", "onnxscript", "scipy"):
        pytest.importorskip(name, reason="needs the extra 'train'")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits_folder: Path) -> Path:
    """An empty current folder, the synthetic digits at hand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KALAMOS_DATA", str(digits_folder))
    return tmp_path


def test_a_network_to_be_trained_against_a_finished_run(command, here: Path, tiny_run_folder: Path) -> None:
    arguments = ["compare", "mnist", "--arch", "cnn2", "--run", tiny_run_folder]
    arguments += ["--seeds", "7", "--epochs", "1", "--set", "label_smoothing=0.1", "--device", "cpu"]
    done = command(*arguments)
    assert (done.code, done.err) == (0, "")
    assert done.rows[0] == "[1 of 2] cnn2, seed 7: training (runs/compare-mnist/cnn2-7)"
    assert f"[2 of 2] tiny, seed 42: a finished run ({tiny_run_folder})" in done.rows
    assert max(map(len, done.rows[done.rows.index("timing all models, interleaved") :])) <= 100
    assert "mnist, test: 60 images" in done.rows
    assert "wrote comparison.json, comparison.md and comparison.png to runs/compare-mnist" in done.rows[-1]
    recipe = json.loads(Path("runs/compare-mnist/cnn2-7/run.json").read_text())["recipe"]
    assert (recipe["arch"], recipe["epochs"], recipe["label_smoothing"]) == ("cnn2", 1, 0.1)
    record = json.loads(Path("runs/compare-mnist/comparison.json").read_text())
    cnn2, tiny = record["systems"]
    assert (cnn2["parameters_total"], tiny["parameters_total"]) == (225_034, 86_218)
    assert (cnn2["ms_ratio"], tiny["ms_ratio"] > 0) == (1.0, True)
    assert record["pairs"][0]["better"] == "tiny"
    assert record["pairs"][0]["words"] in done.rows
    assert not [path for path in tiny_run_folder.parent.iterdir() if path.suffix == ".onnx"]

    refused = command(*arguments, "--lr", "0.5")
    assert (refused.code, refused.out) == (2, b"")
    assert "runs/compare-mnist/cnn2-7: was begun with lr = 0.001, not 0.5" in refused.err


def test_systems_that_fail_are_told_in_the_exit_status(command, here: Path) -> None:
    for name in ("wild", "wilder"):
        Path(f"{name}.toml").write_text('arch = "cnn2"\noptimizer = "sgd"\nlr = 1e30\nepochs = 1\n')
    done = command(
        "compare", "mnist", "--recipe", "wild.toml", "--recipe", "wilder.toml", "--device", "cpu", "-o", "x"
    )
    assert done.code == 1
    failures = [line for line in done.err.splitlines() if ", seed 42: failed: the loss became " in line]
    assert [line.partition(",")[0] for line in failures] == ["wild", "wilder"]
    assert [line.partition(";")[0] for line in failures] == [
        line.partition(";")[0] for line in done.rows[-5:-3]
    ]
    assert done.rows[-3:] == [
        "no two systems were left to compare",
        "",
        "wrote comparison.json, comparison.md and comparison.png to x",
    ]
    systems = json.loads(Path("x/comparison.json").read_text())["systems"]
    assert ["the loss became" in system["runs"][0]["error"] for system in systems] == [True, True]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["mnist"], "a comparison needs two systems; give --arch, --recipe or --run"),
        (["mnist", "--arch", "cnn2"], "a comparison needs two systems"),
        (["mnist", "--arch", "cnn2", "--arch", "cnn2"], "the system 'cnn2' is given twice"),
        (["mnist", "--arch", "cnn2", "--arch", "cnn4"], "unknown architecture 'cnn4'; did you mean"),
        (["mnits", "--arch", "cnn2", "--arch", "cnn3"], "unknown dataset 'mnits'; did you mean 'mnist'?"),
        (["mnist", "--arch", "cnn2", "--recipe", "none.toml"], "none.toml: cannot be read as TOML"),
        (["mnist", "--arch", "cnn2", "--run", "none"], "none: has no run.json"),
        (["mnist", "--arch", "cnn2", "--arch", "cnn3", "--seeds", "1,x"], "'1,x' is not a list of whole"),
        (["mnist", "--arch", "cnn2", "--arch", "cnn3", "--seeds", "1,-2"], "-2 is not a seed"),
        (["mnist", "--arch", "cnn2", "--arch", "cnn3", "--seeds", "1", "--seeds", "1"], "'1' is given twice"),
        (
            ["mnist", "--arch", "cnn2", "--arch", "cnn3", "--set", "seed=3"],
            "seed: not the same for all systems",
        ),
        (["mnist", "--arch", "cnn2", "--arch", "cnn3", "--set", "epoch=3"], "did you mean 'epochs'?"),
        (["mnist", "--arch", "cnn2", "--arch", "cnn3", "--no-cuda", "--device", "cuda"], "contradict"),
        (["mnist", "--run", "a", "--run", "b", "--epochs", "3"], "epochs: nothing is trained here"),
        (["mnist", "--run", "a", "--run", "b", "--seeds", "3"], "seed: nothing is trained here"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_trained(
    command, here: Path, arguments: list[str], told: str
) -> None:
    done = command("compare", *arguments)
    assert (done.code, done.out) == (2, b"")
    assert told in done.err
    assert not any(here.iterdir())


def test_under_torchrun_it_is_refused(command, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = command("compare", "mnist", "--arch", "cnn2", "--arch", "cnn3")
    assert done.code == 2
    assert "compare runs in one process; train under torchrun, then compare with --run" in done.err


def test_a_setting_of_the_augmentation_leaves_the_rest_of_the_recipes(tmp_path: Path) -> None:
    file = tmp_path / "turned.toml"
    file.write_text('augmentation = "mnist"\n', encoding="utf-8")
    from kalamos.learn.compare import name_recipes

    settings = parse_settings(("augmentation.rotate=5",))
    [(_, of_arch), (_, of_file)] = name_recipes("mnist", ["cnn2"], [file], {"epochs": 3}, settings)
    assert (of_file.augmentation.rotate, of_file.augmentation.translate) == (5, 0.1)
    assert (of_arch.arch, of_arch.epochs, of_arch.augmentation.rotate) == ("cnn2", 3, 5)
