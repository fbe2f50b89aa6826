"""`kalamos train`: a recipe, with options over it, to a run folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kalamos.cli.completion import complete_datasets
from kalamos.errors import UsageError

if TYPE_CHECKING:
    from kalamos.training import Recipe
    from kalamos.training.loop import EpochReport


def train(
    dataset: Annotated[
        str | None,
        typer.Argument(help="A dataset's name.", autocompletion=complete_datasets, show_default=False),
    ] = None,
    arch: Annotated[str | None, typer.Option(help="The network, by name.", show_default=False)] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="A TOML recipe; options override it.", show_default=False)
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="[default: 10]", show_default=False)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="[default: 64]", show_default=False)] = None,
    lr: Annotated[
        float | None, typer.Option(min=0, help="Peak learning rate. [default: 0.001]", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="[default: 42]", show_default=False)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    run_dir: Annotated[
        Path | None, typer.Option(help="Where the run goes. [default: runs/DATASET-ARCH]", show_default=False)
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where datasets lie. [default: $KALAMOS_DATA]", show_default=False)
    ] = None,
) -> None:
    """Train a network on a dataset. Needs `pip install 'kalamos[train]'`."""
    from kalamos.cli.extras import require_training

    require_training()
    from kalamos.training import Recipe, load_recipe, run_recipe
    from kalamos.training.run import claim_folder, save_run

    if device not in {"auto", "cpu", "cuda"}:
        raise UsageError(f"there is no device {device!r}", remedy="choose auto, cpu or cuda")
    options: dict[str, Any] = {
        "dataset": dataset,
        "arch": arch,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "seed": seed,
    }
    if recipe is None and dataset is None:
        raise UsageError("there is nothing to train on", remedy="name a dataset or give --recipe")
    base = load_recipe(recipe) if recipe else Recipe()
    chosen = replace(base, **{key: value for key, value in options.items() if value is not None})
    folder = run_dir or Path("runs") / (recipe.stem if recipe else f"{chosen.dataset}-{chosen.arch}")
    claim_folder(folder)
    run = run_recipe(chosen, data_dir=data_dir, device=device, on_epoch=_Report(chosen))
    save_run(run, folder)
    typer.echo(
        f"validation accuracy {run.val_accuracy:.2%} (n = {run.val_count:,}), saved to {folder}\n"
        f"next: kalamos export {folder}"
    )


class _Report:
    """Prints one line an epoch."""

    def __init__(self, recipe: Recipe) -> None:
        self._epochs = recipe.epochs

    def __call__(self, epoch: EpochReport) -> None:
        typer.echo(
            f"epoch {epoch.epoch:>3}/{self._epochs}  loss {epoch.loss:.4f}  "
            f"validation loss {epoch.val_loss:.4f} accuracy {epoch.val_accuracy:.2%}  "
            f"{epoch.images_per_second:,.0f} images/s"
        )
