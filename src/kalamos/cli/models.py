"""`kalamos models`: which models there are, and what each says of itself."""

from __future__ import annotations

import click

from kalamos.cli.names import ModelName


@click.command()
@click.argument("model", required=False, type=ModelName())
def models(model: str | None) -> None:
    """List the shipped models, or show the card of one MODEL (a name or a file)."""
    if model is None:
        _print_list()
    else:
        from kalamos.zoo import find_model
        from kalamos.zoo.card import render_card

        click.echo(render_card(find_model(model)), nl=False)


def _print_list() -> None:
    from rich.console import Console
    from rich.table import Table

    from kalamos.model_file import read_spec
    from kalamos.zoo import model_path, names

    table = Table("model", "reads", "parameters", "size", "accuracy [95 %]", box=None, pad_edge=False)
    for column in table.columns[2:4]:
        column.justify = "right"
    for name in names():
        path = model_path(name)
        spec = read_spec(path)
        accuracy = "; ".join(
            f"{m.dataset} {m.accuracy:.2%} [{m.interval[0]:.2%}, {m.interval[1]:.2%}]" for m in spec.metrics
        )
        reads = f"{len(spec.alphabet)} {spec.alphabet.name}"
        size = f"{path.stat().st_size / 1000:,.0f} kB"
        table.add_row(name, reads, f"{spec.parameters:,}", size, accuracy or "not measured")
    Console().print(table)
