"""`kalamos models`: list the models, show the card of one."""

from __future__ import annotations

import json
import shlex
import shutil

import click

from kalamos.cli.names import ModelName
from kalamos.cli.terminal import echo, echo_json
from kalamos.errors import UsageError


@click.command()
@click.argument("model", required=False, type=ModelName())
@click.option("--json", "as_json", is_flag=True, help="All metadata of MODEL, as JSON.")
def models(model: str | None, as_json: bool) -> None:
    """List the shipped models, or show the card of one MODEL (a name or a file)."""
    if model is None:
        if as_json:
            raise UsageError("--json needs a model", remedy="name it: kalamos models digits --json")
        _print_list()
    elif as_json:
        from kalamos.model_file import check_model
        from kalamos.zoo import find_model

        echo_json(
            json.dumps(json.loads(check_model(find_model(model)).to_json()), ensure_ascii=False, indent=2)
        )
    else:
        from kalamos.cli.model_card import lay_out_card
        from kalamos.zoo import find_model
        from kalamos.zoo.card import render_card

        width = min(100, shutil.get_terminal_size().columns)  # 80 in a pipe
        echo(lay_out_card(render_card(find_model(model)), width).rstrip("\n"))
        echo(f"\nThe recipe and all checksums: kalamos models {shlex.quote(model)} --json")


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
