"""One training session: dataset -> split -> preprocessing -> loop -> calibration -> `Run`."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kalamos.alphabets import Alphabet
from kalamos.datasets import Dataset, SkippedFile, load_dataset
from kalamos.datasets.copies import without_leaks
from kalamos.datasets.dataset import blank_images, prepare_split
from kalamos.datasets.named import DATASETS
from kalamos.errors import DatasetError, RecipeError, TrainingError, UsageError
from kalamos.evaluation.calibration import fit_known, fit_temperature, selective_accuracy
from kalamos.images.files import display_name
from kalamos.learn.callbacks import Callback, CallbackList, CsvLog, TensorBoardLog, write_curves
from kalamos.learn.checkpoint import LAST_FILE, Checkpoints, TrainingState
from kalamos.learn.data import (
    KNOWN_STREAM,
    Examples,
    choose_outliers,
    forget_extras,
    seed_of,
    with_extras,
)
from kalamos.learn.distributed import Engine, choose_device, choose_precision, process_group
from kalamos.learn.loop import check_enough, infer_examples, infer_known, load_teacher, train_network
from kalamos.learn.models import StagedNetwork, check_input_size, create_model, find_architecture
from kalamos.learn.notes import split_notes
from kalamos.learn.own_data import NO_WEIGHTS, imprint_classes, own_recipe, settle
from kalamos.learn.places import find_again, moved_remedy
from kalamos.learn.recipe import Recipe, load_recipe
from kalamos.learn.run import (
    Run,
    RunConfig,
    claim_folder,
    is_finished,
    load_config,
    load_run,
    plan_split,
    save_config,
    save_run,
)
from kalamos.model_file import KnownRecord
from kalamos.model_file.spec import bound_temperature, few_known_text
from kalamos.postprocessing import softmax
from kalamos.preprocessing import Preprocessor, default_steps
from kalamos.utils.atomic_write import remove_all_stale
from kalamos.zoo import base_names, teachable_names

__all__ = ["CalibrationWarning", "choose_recipe", "resume_run", "run_recipe", "train"]

KNOWN_IMAGES: Final = 2000
"""Validation images by which the known head is read."""

HELD_OUTLIERS: Final = 0.1
"""Share of the outliers that are not trained on: the known head is read by them."""

BATCH_NORM_IMAGES: Final = 1024
"""Training images from which batch norms get their statistics when a model file is trained on."""


class CalibrationWarning(UserWarning):
    """The validation images are too few for what was calibrated on them."""


def train(
    dataset: str | os.PathLike[str] | None = None,
    *,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    device: str = "auto",
    workers: int = 0,
    callback: Callback = Callback(),  # noqa: B008  (has no state)
    **settings: Any,
) -> Run:
    """Train a network on a dataset. Its official test split is not touched.

    On images of one's own, and without a recipe, it also learns to tell what is no character (`Run.known`):
    from scribbles, shapes, textures and several characters side by side, all drawn. `outliers=0` leaves that
    out.

    Args:
        dataset: a name (`kalamos data list`), or the path of a folder with one sub-folder per class, a CSV
            manifest, or a zip of either; None takes the recipe's.
        recipe: a `Recipe` or a TOML file that says how; None takes the defaults.
        run_dir: a new folder for checkpoints, logs and the outcome; None keeps nothing on disk.
        data_dir: the folder that holds the named datasets; see `kalamos.datasets.named.data_dir`.
        device: `auto`, `cpu` or `cuda`.
        workers: threads that prepare batches ahead; the result does not depend on them.
        callback: called at each step and epoch.
        settings: keys of a recipe, which override it: `epochs=20`, `arch="cnn3"`, `augmentation="pens"`.

    Raises:
        UsageError: neither `dataset` nor `recipe` is given.
        RecipeError: a setting is unknown or out of range, or there is no such architecture.
        DatasetError: the dataset cannot be read.
        TrainingError: the run folder is in use, or the loss diverged.

    Warns:
        CalibrationWarning: so few validation images that `Run.known` takes a low threshold.

    >>> run = train("letters/", epochs=20, run_dir="runs/letters")  # doctest: +SKIP
    >>> f"{run.val_accuracy:.1%}"  # doctest: +SKIP
    '97.2%'
    """
    chosen = choose_recipe(dataset, recipe, settings)
    folder = None if run_dir is None else Path(run_dir)
    run = run_recipe(
        chosen, data_dir=data_dir, device=device, run_dir=folder, workers=workers, callback=callback
    )
    few = None if run.known is None else few_known_text(run.known.n)
    if few is not None:
        warnings.warn(few, CalibrationWarning, stacklevel=2)
    return run


def choose_recipe(
    dataset: str | os.PathLike[str] | None,
    recipe: Recipe | str | os.PathLike[str] | None,
    *overrides: Mapping[str, Any],
) -> Recipe:
    """Put together what to train: a recipe, its dataset, and values that override the recipe's.

    Without a recipe, a network for images of one's own begins from the base model, unless its architecture or
    its weights are chosen, and learns what is no character too (`outliers = "auto"`).
    The architecture is looked up, so that a misspelt name does not wait until the data are read.

    >>> choose_recipe("usps", None, {"epochs": 3}).epochs
    3
    >>> choose_recipe("letters/", None).outliers, choose_recipe("usps", None).outliers
    ('auto', 0)
    >>> [choose_recipe("letters/", None, *over).arch for over in ((), ({"weights": "none"},))]
    ['kalamos_glyphs', 'kalamos_xs']

    Raises:
        UsageError: there is neither a dataset nor a recipe, or the dataset is a recipe.
        MissingExtraError: the architecture is timm's, which is not installed.
        RecipeError: see `Recipe.from_mapping`, or there is no such architecture.
    """
    if recipe is None and dataset is None:
        raise UsageError("there is nothing to train on", remedy="name a dataset or give a recipe")
    if dataset is not None and Path(dataset).suffix.lower() == ".toml":
        raise UsageError(
            f"{display_name(dataset)}: a recipe, not a dataset", remedy="give it after --recipe (recipe=)"
        )
    chosen = recipe if isinstance(recipe, Recipe) else load_recipe(Path(recipe)) if recipe else Recipe()
    if dataset is not None:
        chosen = replace(chosen, dataset=os.fspath(dataset))
        if recipe is None and chosen.dataset not in DATASETS.names():
            chosen = own_recipe(replace(chosen, outliers="auto"), *overrides)
    for override in overrides:
        chosen = chosen.with_overrides(override)
    if chosen.weights == NO_WEIGHTS:
        chosen = replace(chosen, weights="")
    find_architecture(chosen.arch)
    return chosen


def run_recipe(
    recipe: Recipe,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    device: str = "auto",
    run_dir: Path | None = None,
    workers: int = 0,
    callback: Callback = Callback(),  # noqa: B008  (has no state)
) -> Run:
    """Train what the recipe says. The official test split is not touched.

    Args:
        data_dir: see `kalamos.datasets.named.data_dir`.
        device: `auto`, `cpu` or `cuda`.
        run_dir: a new folder for checkpoints, logs and the outcome; None keeps nothing on disk.
        workers: threads that prepare batches ahead; the result does not depend on them.
        callback: called at each step and epoch.

    Raises:
        DatasetError, RecipeError, TrainingError: see there.
    """
    if run_dir is not None:
        # In every process: if one alone failed, the others would wait for it. The first one writes
        # nothing before all have come together.
        claim_folder(run_dir)
    return _run(recipe, None, data_dir, device, run_dir, workers, callback)


def resume_run(
    run_dir: Path,
    *,
    data: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    device: str = "auto",
    workers: int = 0,
    callback: Callback = Callback(),  # noqa: B008  (has no state)
) -> Run:
    """Resume an interrupted run after its last finished epoch, as if it had never stopped.

    On the same CPU, the result is equal bit for bit to that of a run that was never interrupted. A
    finished run is returned unchanged. Relative paths of its recipe are looked for beside the run too.

    Args:
        data: where the dataset lies now, if it was moved.
        data_dir: see `run_recipe`.
        device: see `run_recipe`.
        workers: see `run_recipe`.
        callback: see `run_recipe`.

    Raises:
        TrainingError: not a run folder, or a damaged one, or the data have changed since.
    """
    remove_all_stale(run_dir)
    if is_finished(run_dir):
        return load_run(run_dir)
    plan = load_config(run_dir)
    if data is not None:
        plan = replace(plan, recipe=replace(plan.recipe, dataset=os.fspath(data)))
    recipe = find_again(plan.recipe, run_dir)
    if (run_dir / LAST_FILE).exists() and not recipe.weights_share:
        recipe = replace(recipe, weights="")  # what it began from is in the checkpoint, trained on
    try:
        return _run(recipe, plan, data_dir, device, run_dir, workers, callback)
    except DatasetError as error:
        raise DatasetError(error.problem, remedy=moved_remedy(plan.recipe)) from error


def _run(
    recipe: Recipe,
    earlier: RunConfig | None,
    data_dir: str | os.PathLike[str] | None,
    device: str,
    run_dir: Path | None,
    workers: int,
    callback: Callback,
) -> Run:
    device = choose_device(device)
    dataset = without_leaks(load_dataset(recipe.dataset, data_dir, classes=recipe.class_folders))
    if earlier is None:
        recipe = settle(recipe, dataset)
    network, recipe = _build(recipe, dataset.alphabet)
    network.to(device)
    if earlier is None:
        split = plan_split(dataset, recipe)
        recipe = choose_outliers(recipe, len(split.train), dataset.alphabet, data_dir)
        plan = RunConfig.now(recipe, dataset.alphabet, dataset.train.sha256, split)
    else:
        plan = _check_unchanged(earlier, dataset)
    teacher = load_teacher(recipe, dataset.alphabet)
    if teacher is not None:
        teacher.to(device)
    data, blank = _examples(dataset, plan.split.train, recipe, device)
    validation, blank_held = _examples(dataset, plan.split.val, recipe, device)
    with process_group(device) as (rank, world):
        engine = Engine(device, choose_precision(recipe.amp, device, network), rank, world)
        check_enough(recipe, network, len(data), world)
        if run_dir is not None and engine.is_main and earlier is None:
            save_config(plan, run_dir)
        callback = callback if engine.is_main else Callback()
        callback.on_skipped_files(dataset.name, (*dataset.problems, *blank, *blank_held))
        callback.on_notes(split_notes(dataset, plan.split))
        data = with_extras(
            data, dataset.alphabet, recipe, data_dir, run_dir, main=engine.is_main, callback=callback
        )
        held = math.ceil(HELD_OUTLIERS * len(data.outliers))
        outliers, data = data.outliers[:held], replace(data, outliers=data.outliers[held:])
        if _is_model_file(recipe.weights):
            _restore_batch_norms(network, data)
            if recipe.weights in base_names():
                imprint_classes(network, data)
        with _logs(run_dir, plan, callback, wanted=engine.is_main) as callbacks:
            state = train_network(
                recipe,
                network,
                data,
                validation,
                engine=engine,
                checkpoints=None if run_dir is None else Checkpoints(run_dir),
                teacher=teacher,
                workers=workers,
                callback=callbacks,
            )
        run = _finish(plan, recipe, state, data, validation, outliers, run_dir)
        if run_dir is not None and engine.is_main:
            save_run(run, run_dir)
            forget_extras(run_dir)
        return run


def _build(recipe: Recipe, alphabet: Alphabet) -> tuple[StagedNetwork, Recipe]:
    """The network, and the recipe with the preprocessing that fits it."""
    if recipe.weights_share and not _is_model_file(recipe.weights):
        raise RecipeError(
            f"weights_share = {recipe.weights_share} averages with a model file, and weights = "
            f"{recipe.weights!r} is none",
            remedy="name a shipped model or a model file as weights, or leave weights_share out",
        )
    torch.manual_seed(recipe.seed % 2**64)  # which takes no larger one
    weights = None if _is_model_file(recipe.weights) else recipe.weights or None
    network = create_model(recipe.arch, len(alphabet), weights=weights)
    try:
        if recipe.outliers:
            network.add_known_head()
    except RecipeError:  # a network of timm without stages to judge by
        if recipe.outliers != "auto":
            raise
        recipe = replace(recipe, outliers=0)
    if _is_model_file(recipe.weights):
        # Only such a training needs the library onnx.
        from kalamos.learn.models.model_file_weights import load_model_file

        load_model_file(network, recipe.weights, alphabet)
    if not recipe.preprocessing:
        recipe = replace(recipe, preprocessing=default_steps(network.input_size))
    check_input_size(network, recipe.arch, Preprocessor(recipe.preprocessing).output_size())
    return network, recipe


def _is_model_file(weights: str) -> bool:
    """Return whether a recipe's weights are those of a shipped model or of a model file."""
    return weights in teachable_names() or Path(weights).suffix.lower() == ".onnx"


def _restore_batch_norms(network: StagedNetwork, data: Examples) -> None:
    from kalamos.learn.models.model_file_weights import restore_batch_norms

    some = torch.linspace(0, len(data) - 1, min(len(data), BATCH_NORM_IMAGES)).long()
    restore_batch_norms(network, data.normalised(some.to(data.images.device)))


def _average_weights(network: StagedNetwork, recipe: Recipe, alphabet: Alphabet, data: Examples) -> None:
    from kalamos.learn.models.model_file_weights import average_model_file

    average_model_file(network, recipe.weights, alphabet, recipe.weights_share)
    _restore_batch_norms(network, data)


def _check_unchanged(earlier: RunConfig, dataset: Dataset) -> RunConfig:
    # A moved folder may have another name.
    if (earlier.alphabet.labels, earlier.data_sha256) != (dataset.alphabet.labels, dataset.train.sha256):
        raise TrainingError(
            f"{dataset.name} is not what it was when this run began",
            remedy="bring the old images back (--data NEW says where they are now), or begin a new run",
        )
    split = earlier.split
    if max(int(rows.max(initial=0)) for rows in (split.train, split.val, split.test)) >= len(dataset.train):
        raise TrainingError(f"the split of this run has rows that {dataset.name} has not")
    return earlier


def _examples(
    dataset: Dataset, rows: NDArray[np.int64], recipe: Recipe, device: str
) -> tuple[Examples, tuple[SkippedFile, ...]]:
    """The images at these rows, and the blank ones among them."""
    preprocessor = Preprocessor(recipe.preprocessing)
    prepared, blank = prepare_split(dataset.train.take(rows), preprocessor)
    examples = Examples.of(prepared.stack(), prepared.labels, len(dataset.alphabet), preprocessor, device)
    return examples, blank_images(dataset.train, rows[blank])


@contextmanager
def _logs(folder: Path | None, plan: RunConfig, callback: Callback, *, wanted: bool) -> Iterator[Callback]:
    """Log to the run folder, in the main process alone; draw the curves at the end, whatever the end."""
    if folder is None or not wanted:
        yield callback
        return
    table, events = CsvLog(folder), TensorBoardLog(folder)
    try:
        yield CallbackList(table, events, callback)
    finally:
        events.close()
        if table.reports:
            data = Path(plan.recipe.dataset)
            write_curves(folder, table.reports, f"{plan.recipe.arch} on {data.name or data.resolve().name}")


def _finish(
    plan: RunConfig,
    recipe: Recipe,
    state: TrainingState,
    data: Examples,
    validation: Examples,
    outliers: Tensor,
    run_dir: Path | None,
) -> Run:
    network, kept_epoch = state.kept, state.epoch
    if plan.recipe.checkpoint == "best":
        network.load_state_dict(state.best)
        kept_epoch = state.best_epoch
    if recipe.weights_share:
        _average_weights(network, recipe, plan.alphabet, data)
    logits = infer_examples(network, validation).float().cpu().numpy()
    labels = validation.labels.cpu().numpy()
    # Logit adjustment made it expect each class as often, or nearly so: so the validation has to count them.
    rarity = (-plan.recipe.logit_adjustment * data.log_priors()).exp().cpu().numpy()[labels]
    temperature = bound_temperature(fit_temperature(logits, labels, rarity), len(labels))
    correct = logits.argmax(1) == labels
    known = None if network.known is None else _known_record(plan.recipe, network, validation, outliers)
    return Run(
        recipe=plan.recipe,
        alphabet=plan.alphabet,
        network=network.cpu().eval(),
        temperature=temperature,
        data_sha256=plan.data_sha256,
        train_count=len(data),
        val_count=len(validation),
        val_accuracy=float(correct.mean()),
        kept_epoch=kept_epoch,
        selective=selective_accuracy(softmax(logits, temperature).max(1), correct),
        epochs=tuple(state.reports),
        created=plan.created,
        environment=plan.environment,
        known=known,
        split=plan.split,
        folder=run_dir,
    )


def _known_record(
    recipe: Recipe, network: StagedNetwork, validation: Examples, outliers: Tensor
) -> KnownRecord:
    """Read the known head by validation images, photographs of them, and outliers that were held out."""
    rows = torch.linspace(0, len(validation) - 1, min(len(validation), KNOWN_IMAGES)).long()
    characters = validation.images[rows.to(validation.images.device)]
    if recipe.synthetic_photo_prob:
        from kalamos.learn.synthetic_photos import Camera, photographed

        glyphs, seed = characters.cpu().numpy(), seed_of(recipe.seed, KNOWN_STREAM)
        photographs = photographed(glyphs, Camera(), Preprocessor(recipe.preprocessing), seed)
        characters = torch.cat([characters, torch.from_numpy(photographs).to(characters.device)])
    mine, others = (
        infer_known(network, validation.normalise(images).cpu().numpy()) for images in (characters, outliers)
    )
    return fit_known(mine, others)
