"""`kalamos export`: a run folder to one model file."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(no_args_is_help=True)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-f", "--format", type=click.Choice(["onnx"]), default="onnx", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="[default: RUN.onnx]")
def export(run: Path, format: str, output: Path | None) -> None:  # noqa: A002, ARG001  (one format so far)
    """Write RUN, a folder that `kalamos train` made, as one self-describing .onnx file.

    Nothing is written unless the file answers as the network does.
    """
    from kalamos.cli.extras import require_training

    require_training()
    from kalamos.export.onnx_file import default_destination, export_run
    from kalamos.training import load_run

    destination = output or default_destination(run)
    spec = export_run(load_run(run), destination.stem, destination)
    size = destination.stat().st_size
    click.echo(
        f"{destination}: {spec.parameters:,} parameters, {size / 1000:,.0f} kB, agrees with the network"
    )
