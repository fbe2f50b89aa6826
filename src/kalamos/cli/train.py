"""`kalamos train`: a recipe, with options over it, to a run folder."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kalamos.cli.names import ArchitectureName, DatasetName
from kalamos.cli.options import data_dir_option
from kalamos.errors import UsageError

if TYPE_CHECKING:
    from kalamos.training import Recipe
    from kalamos.training.loop import EpochReport


@click.command(no_args_is_help=True)
@click.argument("dataset", required=False, type=DatasetName())
@click.option("--arch", type=ArchitectureName(), help="The network.  [default: kalamos_xs]")
@click.option("--recipe", type=click.Path(path_type=Path), help="A TOML recipe; options override it.")
@click.option("--epochs", type=click.IntRange(1), help="[default: 10]")
@click.option("--batch-size", type=click.IntRange(1), help="[default: 64]")
@click.option("--lr", type=click.FloatRange(0, min_open=True), help="Highest learning rate.  [default: 1e-3]")
@click.option("--seed", type=click.IntRange(0), help="[default: 42]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    help="A new folder for the run.  [default: runs/ and the recipe's name, else DATASET-ARCH]",
)
@data_dir_option
def train(
    dataset: str | None,
    recipe: Path | None,
    device: str,
    run_dir: Path | None,
    data_dir: Path | None,
    **over: Any,
) -> None:
    """Train a network on DATASET, or as a recipe says. Needs `pip install 'kalamos[train]'`."""
    from kalamos.cli.extras import require_training

    require_training()
    from kalamos.architectures import ARCHITECTURES
    from kalamos.datasets.named import DATASETS
    from kalamos.training import Recipe, load_recipe, run_recipe
    from kalamos.training.run import claim_folder, save_run

    if recipe is None and dataset is None:
        raise UsageError("there is nothing to train on", remedy="name a dataset or give --recipe")
    base = load_recipe(recipe) if recipe else Recipe()
    chosen = replace(
        base, **{key: value for key, value in {**over, "dataset": dataset}.items() if value is not None}
    )
    folder = run_dir or Path("runs") / (recipe.stem if recipe else f"{chosen.dataset}-{chosen.arch}")
    # Reading the data can take a while; a misspelt name should not wait for it.
    DATASETS.get(chosen.dataset)
    ARCHITECTURES.get(chosen.arch)
    claim_folder(folder)
    try:
        run = run_recipe(chosen, data_dir=data_dir, device=device, on_epoch=_Report(chosen))
    except BaseException:
        with suppress(OSError):
            folder.rmdir()  # still empty
        raise
    save_run(run, folder)
    click.echo(
        f"validation accuracy {run.val_accuracy:.2%} (n = {run.val_count:,}), saved to {folder}\n"
        f"next: kalamos export {folder}"
    )


class _Report:
    """Prints one line an epoch."""

    def __init__(self, recipe: Recipe) -> None:
        self._epochs = recipe.epochs

    def __call__(self, epoch: EpochReport) -> None:
        click.echo(
            f"epoch {epoch.epoch:>3}/{self._epochs}  loss {epoch.loss:.4f}  "
            f"validation loss {epoch.val_loss:.4f} accuracy {epoch.val_accuracy:.2%}  "
            f"{epoch.images_per_second:,.0f} images/s"
        )
