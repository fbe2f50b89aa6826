"""`kalamos train`: options, recipes, and what stops it before it begins. Signals are in tests/training."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rich import reconfigure

from kalamos.cli.training_progress import EpochLines, LiveBar, TrainingProgress, training_progress
from kalamos.datasets import Dataset
from kalamos.learn import load_run
from kalamos.learn.callbacks import Callback, EpochReport, Start, StepReport
from kalamos.learn.recipe import AUGMENTATIONS
from kalamos.learn.run import load_config

pytest.importorskip("torch", reason="needs the extra 'train'")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits_folder: Path) -> Path:
    """An empty current folder, and the synthetic digits where `mnist` is looked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KALAMOS_DATA", str(digits_folder))
    return tmp_path


NOT_FITTED = "temperature 1.000, not fitted: 30 validation images are fewer than 100"
QUICK = ["--arch", "cnn2", "--epochs", "1", "--batch-size", "100", "--no-cuda"]


def test_what_it_prints_and_what_it_leaves(command: Any) -> None:
    done = command("train", "mnist", "--arch", "cnn2", "--epochs", "2", "--lr", "0.003", "--run-dir", "a/run")
    assert (done.code, done.err) == (0, "")
    classes, head, first, second, outcome, following = done.rows
    assert classes == "10 classes: 0 1 2 3 4 5 6 7 8 9"
    assert head == (
        "cnn2: 225,034 parameters; 270 training images, 30 held out; cpu, " + head.rpartition(" ")[2]
    )
    for epoch, row in enumerate((first, second), start=1):
        assert row.startswith(f"epoch   {epoch}/2  loss ")
        assert "  validation loss " in row
        assert row.endswith(" images/s")
    run = load_run(Path("a/run"))
    assert outcome == (f"validation accuracy {run.val_accuracy:.2%} (n = 30), {NOT_FITTED}, saved to a/run")
    assert following == "next: kalamos export a/run"
    assert sorted(path.name for path in Path("a/run").iterdir()) == [
        "best.safetensors",
        "curves.png",
        "last.safetensors",
        "log.csv",
        "model.safetensors",
        "run.json",
        "split.safetensors",
        "tensorboard",
    ]
    assert not (Path("a/run/run.json").stat().st_mode & 0o111)


@pytest.fixture
def pages(here: Path, digits: Dataset) -> Path:
    """A folder of two classes, 6 images each, and with them one that is blank and one that is none."""
    for label in (3, 8):
        rows = np.flatnonzero(digits.train.labels == label)[:6]
        for row in rows.tolist():
            path = here / "pages" / str(label) / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), digits.train.images[row])
    cv2.imwrite("pages/3/blank.png", np.full((28, 28), 255, np.uint8))
    Path("pages/8/torn.png").write_text("no image")
    return here / "pages"


def test_files_that_nothing_is_learnt_from_are_told(command: Any, pages: Path) -> None:
    done = command("train", "pages", *QUICK, "--set", "outliers=0", "--run-dir", "run")
    assert done.code == 1
    head, *told = done.err.splitlines()[:3]
    assert head == "pages: skipped 2 files:"
    assert sorted(line.partition(":")[0] for line in told) == ["  3/blank.png", "  8/torn.png"]
    assert "  3/blank.png: no ink" in told
    assert "10 training images, 2 held out" in done.rows[1]
    assert "not a character" not in done.out.decode()
    assert json.loads(Path("run/run.json").read_text(encoding="utf-8"))["outcome"]["known"] is None


def test_a_small_folder_asks_for_more_epochs_than_the_usual_ones(command: Any, pages: Path) -> None:
    (pages / "3" / "blank.png").unlink()
    (pages / "8" / "torn.png").unlink()
    done = command("train", "pages", "--arch", "cnn2", "--batch-size", "5", "--set", "outliers=0")
    assert done.code == 0
    assert done.err.endswith("trained for only 20 steps: --epochs 150 may give a better model\n")
    assert "near copies of others" in done.err  # drawn digits are


def test_what_is_no_character_is_learnt_too_and_a_warning_says_from_how_few(
    command: Any, pages: Path
) -> None:
    (pages / "8" / "torn.png").rename(pages / "8" / "README.md")
    (pages / "3" / "blank.png").unlink()
    done = command("train", "pages", *QUICK, "--run-dir", "run")
    assert done.code == 0
    assert "  8/README.md" in done.err or "1 text file" in done.err
    assert "10 training images, 450 of no character, 2 held out" in done.rows[1]
    assert done.err.splitlines()[-1].startswith("known is calibrated on 2 validation images: fewer than 200")
    [told] = [row for row in done.rows if row.startswith("not a character: withholds ")]
    assert told.endswith("of 50 that show none (held out too)")
    story = json.loads(Path("run/run.json").read_text(encoding="utf-8"))
    assert story["recipe"]["outliers"] == 500
    assert story["outcome"]["known"]["n"] == 2


def test_a_comparison_tells_them_once(command: Any, pages: Path) -> None:
    for name in "abcdef":
        shutil.copy(pages / "3" / "blank.png", pages / "8" / f"{name}.png")
    done = command("compare", "pages", "--arch", "cnn2", "--seeds", "1,2", *QUICK[2:], "--arch", "cnn3")
    assert done.code == 0
    assert done.err.splitlines().count("pages: skipped 8 files:") == 1


def test_the_seeds_options_arrive(command: Any) -> None:
    seeds = ["--epochs", "1", "--batch-size", "90", "--lr", "0.02", "--seed", "7", "--no-cuda"]
    ours = ["--arch", "cnn2", "--optimizer", "sgd", "--schedule", "step", "--augmentation", "seed-arabic"]
    assert command("train", "mnist", *seeds, *ours, "--run-dir", "run").code == 0
    recipe = load_run(Path("run")).recipe
    assert (recipe.dataset, recipe.arch, recipe.epochs, recipe.batch_size) == ("mnist", "cnn2", 1, 90)
    assert (recipe.lr, recipe.seed, recipe.optimizer, recipe.schedule) == (0.02, 7, "sgd", "step")
    assert recipe.augmentation == AUGMENTATIONS["seed-arabic"]


def test_any_key_can_be_set(command: Any) -> None:
    settings = ["ema_decay=0.9", "keep=best", "amp='off'", "augmentation.rotate = 5", "augmentation.shear=2"]
    pairs = [part for setting in settings for part in ("--set", setting)]
    assert command("train", "mnist", *QUICK, *pairs, "--augmentation", "mnist", "--run-dir", "run").code == 0
    recipe = load_run(Path("run")).recipe
    assert (recipe.ema_decay, recipe.checkpoint, recipe.amp) == (0.9, "best", "off")
    how = recipe.augmentation
    assert (how.rotate, how.shear, how.translate) == (5, 2, AUGMENTATIONS["mnist"].translate)


def test_a_recipe_names_the_run_and_options_go_over_it(command: Any) -> None:
    Path("small.toml").write_text(
        'dataset = "mnist"\narch = "cnn2"\nepochs = 7\nbatch_size = 100\naugmentation = "mnist"\n'
    )
    done = command("train", "--recipe", "small.toml", "--epochs", "1", "--set", "augmentation.rotate=3")
    assert done.code == 0
    recipe = load_run(Path("runs/small")).recipe
    assert (recipe.epochs, recipe.batch_size) == (1, 100)
    assert (recipe.augmentation.rotate, recipe.augmentation.scale) == (3, AUGMENTATIONS["mnist"].scale)


def test_without_a_recipe_dataset_and_network_name_the_run(command: Any) -> None:
    assert command("train", "mnist", *QUICK).code == 0
    assert [path.name for path in Path("runs").iterdir()] == ["mnist-cnn2"]


def test_best_and_early_are_told(command: Any) -> None:
    stop = ["--epochs", "9", "--lr", "1e-9", "--set", "patience=1", "--set", "keep=best", "--run-dir", "run"]
    done = command("train", "mnist", *QUICK, *stop)
    assert done.code == 0
    assert (
        f"(n = 30, epoch 1 of {len(load_run(Path('run')).epochs)}), {NOT_FITTED}, saved to run"
        in done.rows[-2]
    )


def test_an_existing_run_is_never_touched(command: Any) -> None:
    Path("run").mkdir()
    Path("run/notes.txt").write_text("mine")
    outcome = command("train", "mnist", *QUICK, "--run-dir", "run")
    assert outcome == (1, b"", "kalamos: run: is not empty; choose another --run-dir, or remove it first\n")
    assert [path.name for path in Path("run").iterdir()] == ["notes.txt"]
    assert Path("run/notes.txt").read_text() == "mine"


def test_a_loss_that_is_not_a_number_is_told_and_the_run_stays(command: Any) -> None:
    outcome = command("train", "mnist", *QUICK, "--optimizer", "sgd", "--lr", "1e6", "--run-dir", "run")
    assert outcome.code == 1
    assert outcome.err.startswith("kalamos: the ")
    assert " in epoch 1" in outcome.err
    assert outcome.err.endswith(
        "; try a lower learning rate (--lr), or clip the gradients (--set clip_norm=1)\n"
    )
    assert load_config(Path("run")).recipe.lr == 1e6
    again = command("train", "mnist", *QUICK, "--run-dir", "run")
    assert again.code == 1
    assert "continue it (--resume run), or choose another --run-dir" in again.err


def test_a_finished_run_is_only_shown(command: Any, tiny_run_folder: Path) -> None:
    done = command("train", "--resume", tiny_run_folder)
    assert done.code == 0
    assert done.rows == [
        f"validation accuracy 100.00% (n = 30), {NOT_FITTED}, saved to {tiny_run_folder}",
        f"next: kalamos export {tiny_run_folder}",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["mnst"], 2, "unknown dataset 'mnst'; did you mean 'mnist'?"),
        (["mnist", "--arch", "kalamos_x"], 2, "did you mean 'kalamos_xs'?"),
        (["mnist", "--data-dir", "none"], 2, "none/mnist"),
        (["--recipe", "none.toml"], 2, "none.toml: cannot be read as TOML"),
        (["--epochs", "3"], 2, "nothing to train on; name a dataset or give a recipe"),
        (["recipes/fast.toml"], 2, "recipes/fast.toml: a recipe, not a dataset; give it after --recipe"),
        (["mnist", "--epochs", "0"], 2, "0 is not in the range"),
        (["mnist", "--lr", "0"], 2, "0.0 is not in the range"),
        (["mnist", "--lr", "nan"], 2, "lr = nan is not a finite number"),
        (["mnist", "--batch-size", "-1"], 2, "-1 is not in the range"),
        (["mnist", "--seed", "-1"], 2, "-1 is not in the range"),
        (["mnist", "--workers", "-1"], 2, "-1 is not in the range"),
        (["mnist", "--device", "tpu"], 2, "'tpu' is not one of"),
        (["mnist", "--device", "cuda", "--no-cuda"], 2, "--no-cuda and --device cuda contradict each other"),
        (["mnist", "--optimizer", "adamx"], 2, "optimizer = 'adamx' is not one of adam, adamw, sgd; did"),
        (["mnist", "--schedule", "cosin"], 2, "did you mean 'cosine'?"),
        (["mnist", "--augmentation", "seed-arab"], 2, "did you mean 'seed-arabic'?"),
        (["mnist", "--set", "epoch=3"], 2, "a recipe has no key 'epoch'; did you mean 'epochs'?"),
        (["mnist", "--set", "epochs"], 2, "--set 'epochs' is not KEY=VALUE; write for example"),
        (["mnist", "--set", "=3"], 2, "--set '=3' is not KEY=VALUE"),
        (["mnist", "--set", "epochs=many"], 2, "epochs = 'many' is not a whole number of at least 1"),
        (["mnist", "--set", "keep=it's"], 2, '--set "keep=it\'s" cannot be read as TOML'),
        (["mnist", "--set", "augmentation.rotat=3"], 2, "[augmentation] has no key 'rotat'; did you"),
        (["mnist", "--set", "amp=fp16", "--no-cuda"], 1, "fp16 is for CUDA devices"),
        (["mnist", "--batch-size", "1"], 1, "a batch of 1 is too small: kalamos_xs normalises over it"),
        (["mnist", "--weights", "none.pth"], 2, "none.pth"),
        (["--resume", "none"], 1, "none: has no run.json; give the folder that `kalamos train` wrote"),
        (["mnist", "--resume", "none"], 2, "--resume continues a run as it began; leave"),
        (["--resume", "none", "--set", "epochs=3"], 2, "--resume continues a run as it began"),
        (["--resume", "none", "--run-dir", "other"], 2, "--resume continues a run as it began"),
    ],
)
def test_wrong_usage_is_told(command: Any, here: Path, arguments: list[str], code: int, told: str) -> None:
    outcome = command("train", *arguments)
    assert (outcome.code, outcome.out) == (code, b"")
    assert told in outcome.err
    assert "Traceback" not in outcome.err
    assert not [path for path in here.rglob("*") if path.name != "runs"]


def test_a_dataset_of_ones_own(command: Any, digits: Any, here: Path) -> None:
    import cv2

    for index in range(60):
        folder = here / "حروف" / str(digits.train.labels[index])
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imencode(".png", digits.train.images[index])[1].tofile(folder / f"{index}.png")
    done = command("train", "./حروف", *QUICK, "--set", "val_fraction=0.5", "--set", "outliers=0")
    assert done.code == 0
    assert "skipped" not in done.err
    story = json.loads(Path("runs/حروف-cnn2/run.json").read_text(encoding="utf-8"))
    assert story["alphabet"]["labels"] == list("0123456789")
    assert story["counts"] == {"train": 30, "val": 10}  # drawn digits: 20 are near copies
    with pytest.MonkeyPatch.context() as inside:
        inside.chdir("حروف")
        assert command("train", ".", *QUICK, "--set", "outliers=0").code == 0
        assert [path.name for path in Path("runs").iterdir()] == ["حروف-cnn2"]


pytest.importorskip("torch", reason="needs the extra 'train'")


def report(epoch: int, accuracy: float) -> EpochReport:
    return EpochReport(epoch, 0.5 / epoch, 0.6 / epoch, accuracy, 0.01, 12345.6, 2.0)


def tell(watch: Callback, *earlier: EpochReport) -> None:
    watch.on_start(Start("cnn2", 225034, 54000, 6000, 3, earlier, 40, "cpu", "bfloat16"))
    for epoch in range(len(earlier) + 1, 4):
        for step in (20, 40):
            watch.on_step(StepReport(epoch, step, 0.25, 9876.5))
        watch.on_epoch(report(epoch, 0.9 + epoch / 100))


LINES = [
    "cnn2: 225,034 parameters; 54,000 training images, 6,000 held out; cpu, bfloat16",
    "epoch   1/3  loss 0.5000  validation loss 0.6000 accuracy 91.00%  12,346 images/s",
    "epoch   2/3  loss 0.2500  validation loss 0.3000 accuracy 92.00%  12,346 images/s",
    "epoch   3/3  loss 0.1667  validation loss 0.2000 accuracy 93.00%  12,346 images/s",
]


def test_one_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    tell(EpochLines())
    assert capsys.readouterr().out.splitlines() == LINES


def test_a_continued_run_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    tell(EpochLines(), report(1, 0.9), report(2, 0.9))
    assert capsys.readouterr().out.splitlines() == [LINES[0] + ", 2 of 3 epochs done", LINES[3]]


def test_only_the_first_process_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    watch = training_progress()
    assert type(watch) is TrainingProgress
    tell(watch)
    watch.close()
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("RANK", "0")
    assert type(training_progress()) is EpochLines  # there is no terminal


@contextmanager
def printing_to(terminal: Any) -> Iterator[None]:
    """Standard output is a terminal of 100 columns."""
    with pytest.MonkeyPatch.context() as patch, os.fdopen(terminal.theirs, "w", closefd=False) as out:
        for name, value in (("TERM", "xterm-256color"), ("COLUMNS", "100")):
            patch.setenv(name, value)
        for name in ("NO_COLOR", "RANK"):
            patch.delenv(name, raising=False)
        patch.setattr(sys, "stdout", out)
        reconfigure()
        yield
    reconfigure()


def test_a_terminal_has_a_bar_below_the_lines(terminal: Any) -> None:
    with printing_to(terminal):
        watch = training_progress()
        assert isinstance(watch, LiveBar)
        tell(watch)
        assert watch._bar is not None
        watch._bar.refresh()
        watch.close()
    text = terminal.read_to_end()
    for line in LINES:
        assert line in text
    assert "epoch   3/3" in text
    assert "loss 0.2500" in text
    assert "best 93.00%" in text
    assert "9,876 images/s" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor stays hidden"


def test_a_continued_bar_begins_where_the_run_was(terminal: Any) -> None:
    with printing_to(terminal):
        watch = LiveBar()
        watch.on_start(Start("cnn2", 10, 20, 5, 4, (report(1, 0.9), report(2, 0.8)), 40, "cpu", "float32"))
        assert watch._bar is not None
        [task] = watch._bar.tasks
        assert (task.completed, task.total) == (80, 160)
        assert (task.fields["epoch"], task.fields["best"]) == (3, "90.00%")
        watch.close()


def test_a_display_that_never_began_can_be_closed() -> None:
    LiveBar().close()
    EpochLines().close()
