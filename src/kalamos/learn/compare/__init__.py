"""Compare systems on one dataset: which is better, by how much, at what cost, and is it more than luck.

```
architectures, recipes, finished runs ─ systems ─ compare (timing) ─ outcomes (McNemar, Holm) ─ report
```
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import Dataset, Split, load_dataset
from kalamos.datasets.dataset import prepare_split
from kalamos.errors import KalamosError, OutputError, UsageError
from kalamos.evaluation.evaluate import evaluate_split
from kalamos.learn.callbacks import Callback
from kalamos.learn.compare.outcomes import Comparison, Failure, Measured, Speed, SystemOutcome, compare_pairs
from kalamos.learn.compare.report import save_comparison
from kalamos.learn.compare.systems import (
    EvalSplits,
    SeededRun,
    System,
    assemble,
    check_runs,
    clear_leftovers,
    is_begun,
    prepare_eval_splits,
)
from kalamos.learn.export import export_run
from kalamos.learn.models import count_parameters
from kalamos.learn.recipe import Recipe, load_recipe
from kalamos.learn.run import Run, is_finished
from kalamos.learn.train import choose_recipe, resume_run, run_recipe
from kalamos.model_file import open_model
from kalamos.preprocessing import Preprocessor
from kalamos.recognizer import Recognizer
from kalamos.writers.base import one_line

__all__ = ["ComparisonCallback", "compare", "run_comparison", "time_side_by_side"]

TIMING_ROUNDS = 151

BLOCK_SECONDS = 0.002
"""About how long each call is repeated in a round: far above the clock's grain, and less than the turn of
another process that takes the processor away, so that most rounds meet none."""

TIMED_IMAGES = 16
"""Images that the models are timed on, in turn."""


class ComparisonCallback(Callback):
    """Base callback of a comparison and its trainings: every hook is a no-op."""

    def on_member(self, system: System, member: SeededRun, state: str) -> None:
        """`state` is "given", "finished" (not trained again), "interrupted" (resumed) or "new"."""

    def on_trained(self) -> None:
        """The member has a run; it is exported and measured next."""

    def on_measured(self, system: System, member: SeededRun, accuracy: float) -> None: ...

    def on_failure(self, system: System, member: SeededRun, error: Exception) -> None: ...

    def on_timing(self) -> None: ...


def compare(
    dataset: str | os.PathLike[str],
    *,
    arch: Sequence[str] = (),
    recipes: Sequence[str | os.PathLike[str]] = (),
    runs: Sequence[str | os.PathLike[str]] = (),
    seeds: Sequence[int] = (),
    folder: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    device: str = "auto",
    workers: int = 0,
    callback: ComparisonCallback = ComparisonCallback(),  # noqa: B008  (has no state)
    **settings: Any,
) -> Comparison:
    """Train what is not trained yet, and measure all systems on the same images.

    If killed, call it again to continue. The figures are also written to `folder`, as
    comparison.json, comparison.md and comparison.png, beside the runs and the model files.

    Args:
        dataset: a name, or the path of a folder with one sub-folder per class, a CSV manifest, or a zip of
            either. The systems are measured on its test split; if it has none, on what the runs held out.
        arch: architectures, each a system.
        recipes: TOML files, each a system, trained on `dataset`.
        runs: folders of finished runs; those that differ in nothing but the seed are one system.
        seeds: that each system is trained with; empty: the recipe's own.
        folder: None for `runs/compare-DATASET`.
        data_dir: see `kalamos.learn.train`.
        device: see `kalamos.learn.train`.
        workers: see `kalamos.learn.train`.
        callback: called at each run, step and epoch.
        settings: keys of a recipe that override every system's: `epochs=20`, `augmentation="pens"`.

    Raises:
        UsageError: fewer than two systems, or they cannot be compared; see `run_comparison`.
        DatasetError, RecipeError, OutputError: see there.

    >>> found = compare("letters/", arch=["kalamos_xs", "cnn3"], epochs=20)  # doctest: +SKIP
    >>> print(found.verdicts[0])  # doctest: +SKIP
    no difference is shown between kalamos_xs and cnn3: 97.21 % against 97.05 %, p = 0.412
    """
    name = os.fspath(dataset)
    place = Path(folder) if folder is not None else default_folder(name)
    named = name_recipes(name, arch, recipes, settings)
    systems = assemble(place, recipes=named, seeds=seeds, runs=[Path(run) for run in runs])
    found = run_comparison(
        name, systems, place, data_dir=data_dir, device=device, workers=workers, callback=callback
    )
    save_comparison(found, place)
    return found


def default_folder(dataset: str) -> Path:
    """Where a comparison on this dataset goes.

    >>> default_folder("letters/").as_posix()
    'runs/compare-letters'
    """
    return Path("runs") / f"compare-{Path(dataset).stem or Path(dataset).resolve().stem}"


def name_recipes(
    dataset: str,
    arch: Sequence[str],
    files: Sequence[str | os.PathLike[str]],
    *overrides: Mapping[str, Any],
) -> list[tuple[str, Recipe]]:
    """The systems to be trained, as `assemble` takes them: names and recipes.

    Raises:
        UsageError: an override of what is not the same for all systems.
        RecipeError: a recipe cannot be read, or an override is unknown or out of range.

    >>> [(name, recipe.epochs) for name, recipe in name_recipes("usps", ["cnn2", "cnn3"], [], {"epochs": 3})]
    [('cnn2', 3), ('cnn3', 3)]
    """
    for key, instead in (("dataset", "DATASET"), ("arch", "--arch"), ("seed", "--seeds")):
        if any(key in override for override in overrides):
            raise UsageError(f"{key}: not the same for all systems", remedy=f"use {instead}")
    bases = [(name, Recipe(arch=name)) for name in arch]
    bases += [(Path(file).stem, load_recipe(Path(file))) for file in files]
    return [(name, choose_recipe(dataset, base, *overrides)) for name, base in bases]


def run_comparison(
    dataset_name: str,
    systems: Sequence[System],
    folder: Path,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    device: str = "auto",
    workers: int = 0,
    callback: ComparisonCallback = ComparisonCallback(),  # noqa: B008  (has no state)
) -> Comparison:
    """Train, export and measure; if killed, call it again to continue.

    What goes wrong with one member becomes a `Failure`, and the others are still compared.

    Args:
        dataset_name: see `load_dataset`; the recipes of `systems` name the same.
        systems: see `assemble`.
        folder: that they were assembled for; made where it is not there.
        data_dir, device, workers: see `run_recipe`.
        callback: called at each run, step and epoch.

    Raises:
        DatasetError: the dataset cannot be had, or cannot be split as is asked for.
        UsageError: a run was trained on other data or otherwise than asked for, or the systems do not
            hold out the same images.
        OutputError: `folder` cannot be written.
    """
    dataset = load_dataset(dataset_name, data_dir)
    check_runs(dataset, systems)
    bench = prepare_eval_splits(dataset, systems)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"{folder}: cannot be made ({reason})", remedy="choose another folder (-o)"
        ) from error

    def attempt(system: System, member: SeededRun, split: Split) -> Measured | Failure:
        try:
            callback.on_member(system, member, _state(member))
            run = _obtain(member, data_dir, device, workers, callback)
            callback.on_trained()
            measured = _measure(run, member, split, dataset)
        except OutputError:
            raise  # the next one could not be written either
        except (KalamosError, RuntimeError) as error:  # RuntimeError: what PyTorch raises, out of memory too
            callback.on_failure(system, member, error)
            return Failure(member.recipe.seed, member.folder, one_line(str(error)) or type(error).__name__)
        callback.on_measured(system, member, measured.accuracy)
        return measured

    outcomes = [
        tuple(attempt(s, member, split) for member, split in zip(s.members, bench.splits, strict=False))
        for s in systems
    ]
    callback.on_timing()
    speeds = _speeds(outcomes, bench)
    return Comparison(
        dataset=dataset_name,
        part=bench.part,
        n=len(bench.splits[0]),
        passed_over=len(dataset.problems),
        systems=tuple(
            SystemOutcome(system.name, system.architecture, members, speed)
            for system, members, speed in zip(systems, outcomes, speeds, strict=True)
        ),
        verdicts=compare_pairs(
            [system.name for system in systems],
            [[m.correct if isinstance(m, Measured) else None for m in members] for members in outcomes],
        ),
    )


def _state(member: SeededRun) -> str:
    if member.run is not None:
        return "given"
    if not is_begun(member):
        return "new"
    return "finished" if is_finished(member.folder) else "interrupted"


def _obtain(
    member: SeededRun,
    data_dir: str | os.PathLike[str] | None,
    device: str,
    workers: int,
    callback: Callback,
) -> Run:
    if member.run is not None:
        return member.run
    if is_begun(member):
        return resume_run(member.folder, data_dir=data_dir, device=device, workers=workers, callback=callback)
    clear_leftovers(member.folder)
    return run_recipe(
        member.recipe,
        data_dir=data_dir,
        device=device,
        run_dir=member.folder,
        workers=workers,
        callback=callback,
    )


def _measure(run: Run, member: SeededRun, split: Split, dataset: Dataset) -> Measured:
    """Export the run, and measure the file: what is compared is what would be used."""
    export_run(run, member.model.stem, member.model)
    measured = evaluate_split(Recognizer(open_model(member.model)), split, dataset.alphabet.labels)
    return Measured(
        seed=run.recipe.seed,
        folder=member.folder,
        model=member.model,
        correct=measured.correct,
        sha256=measured.sha256,
        file_bytes=member.model.stat().st_size,
        trainable=count_parameters(run.network),
        parameters=count_parameters(run.network, trainable=False),
        train_count=run.train_count,
        val_accuracy=run.val_accuracy,
        epochs=run.epochs,
        seconds=run.seconds,
    )


def _speeds(outcomes: Sequence[Sequence[Measured | Failure]], bench: EvalSplits) -> list[Speed | None]:
    """Of each system's first model, all of them measured together."""
    firsts = [next((m for m in members if isinstance(m, Measured)), None) for members in outcomes]
    calls = [_reading(first.model, bench.splits[0]) for first in firsts if first is not None]
    if not calls:
        return [None] * len(firsts)
    seconds = time_side_by_side(calls)
    low, middle, high = np.quantile(seconds, (0.25, 0.5, 0.75), axis=0) * 1000
    ratios = np.median(seconds / seconds[:, :1], axis=0)
    speeds = iter(
        Speed(float(middle[i]), (float(low[i]), float(high[i])), float(ratios[i])) for i in range(len(calls))
    )
    return [None if first is None else next(speeds) for first in firsts]


def _reading(path: Path, split: Split) -> Callable[[], object]:
    """A call that reads the next of a few prepared images."""
    model = open_model(path, threads=1)
    preprocessor = Preprocessor(model.spec.preprocessing)
    prepared, _ = prepare_split(split.take(np.arange(min(len(split), TIMED_IMAGES))), preprocessor)
    images = cycle([{model.input_name: preprocessor.batch(image[np.newaxis])} for image in prepared.stack()])
    return lambda: model.session.run(["logits"], next(images))


def time_side_by_side(
    calls: Sequence[Callable[[], object]],
    *,
    rounds: int = TIMING_ROUNDS,
    block_seconds: float = BLOCK_SECONDS,
) -> NDArray[np.float64]:
    """Seconds a call took, float64 [rounds, len(calls)], each the mean over one block of repeats.

    Take the median over the rounds; for how much slower one is, the median of the rounds' ratios.

    >>> seconds = time_side_by_side([lambda: time.sleep(0.002), lambda: None], rounds=5)
    >>> seconds.shape, bool((seconds[:, 0] > seconds[:, 1]).all())
    ((5, 2), True)
    """
    # The first call allocates memory that later ones reuse; the second is timed.
    repeats = []
    for call in calls:
        call()
        repeats.append(max(1, round(block_seconds / max(_seconds(call, 1), 1e-9))))
    order, shuffle = list(range(len(calls))), random.Random(0).shuffle  # noqa: S311  (no secret)
    seconds = np.empty((rounds, len(calls)))
    for taken in seconds:
        shuffle(order)
        for index in order:
            calls[index]()  # brings back what the others drove out of the cache
            taken[index] = _seconds(calls[index], repeats[index])
    return seconds


def _seconds(call: Callable[[], object], repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - started) / repeats
