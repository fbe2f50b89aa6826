"""What can be exported: a run, or a model file."""

from __future__ import annotations

from pathlib import Path

from kalamos._version import __version__
from kalamos.architectures import count_parameters
from kalamos.errors import ExportError, PreprocessingError
from kalamos.export.base import Source
from kalamos.export.rebuild import rebuild
from kalamos.model_file import ModelSpec, TrainingRecord, open_model
from kalamos.model_file.licence import NOT_STATED
from kalamos.model_file.temperature import bound_temperature
from kalamos.preprocessing import Preprocessor
from kalamos.training.run import Run

__all__ = ["from_model", "from_run"]


def from_run(run: Run, name: str, licence: str = NOT_STATED) -> Source:
    """A run's network, and the spec that tells of its training.

    A temperature that an earlier kalamos fitted on too few images is not believed, nor what was measured with
    it.

    Args:
        name: what the model calls itself.
        licence: an SPDX identifier; unless one is chosen, none is stated.

    Raises:
        ExportError: the preprocessing leaves images of different sizes.
        ModelFileError: a value that a spec cannot have.
    """
    try:
        size = Preprocessor(run.recipe.preprocessing).output_size()
    except PreprocessingError as error:
        raise ExportError(error.problem, remedy=error.remedy) from error
    temperature = bound_temperature(run.temperature, run.val_count)
    spec = ModelSpec(
        name=name,
        architecture=run.recipe.arch,
        parameters=count_parameters(run.network),
        alphabet=run.alphabet,
        preprocessing=tuple(run.recipe.preprocessing),
        input_size=size,
        temperature=temperature,
        min_confidence=0.0,
        feature_maps=tuple(run.network.stages),
        training=TrainingRecord(
            dataset=run.recipe.dataset,
            split="train",
            n=run.train_count,
            sha256=run.data_sha256,
            recipe=run.recipe.to_mapping(),
            seed=run.recipe.seed,
            date=run.created[:10],
            torch=run.environment["torch"],
        ),
        metrics=(),
        licence=licence,
        kalamos_version=__version__,
        created=run.created[:10],
        selective=run.selective if temperature == run.temperature else None,
    )
    return Source(run.network, spec)


def from_model(path: Path) -> Source:
    """The network of a float model file, built again.

    Raises:
        ModelError: not a kalamos model.
        RecipeError: this kalamos has no architecture of the name that the file gives.
        ExportError: the graph does not hold the network's weights any more.
    """
    model = open_model(path)
    return Source(rebuild(path.read_bytes(), model), model.spec)
