"""`kalamos models`: which models there are, and what each says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kalamos.cli.completion import complete_models

if TYPE_CHECKING:
    from pathlib import Path


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A shipped model or a file: show its card.",
            show_default=False,
            autocompletion=complete_models,
        ),
    ] = None,
) -> None:
    """List the shipped models, or show one model's card."""
    if name is None:
        _print_list()
    else:
        from kalamos.zoo import find_model
        from kalamos.zoo.card import render_card

        typer.echo(render_card(find_model(name)), nl=False)


def _print_list() -> None:
    from rich.console import Console
    from rich.table import Table

    from kalamos.model_file import read_spec
    from kalamos.zoo import model_path, names

    table = Table("model", "reads", "parameters", "size", "accuracy [95 %]", box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    for model in names():
        path = model_path(model)
        spec = read_spec(path)
        accuracy = "; ".join(
            f"{m.dataset} {m.accuracy:.2%} [{m.interval[0]:.2%}, {m.interval[1]:.2%}]" for m in spec.metrics
        )
        reads = f"{len(spec.alphabet)} {spec.alphabet.name}"
        table.add_row(model, reads, f"{spec.parameters:,}", _size(path), accuracy or "not measured")
    Console().print(table)


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1000:,.0f} kB"
