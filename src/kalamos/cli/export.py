"""`kalamos export`: a run folder to one model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kalamos.errors import UsageError


def export(
    run: Annotated[Path, typer.Argument(help="The folder that `kalamos train` wrote.")],
    format: Annotated[str, typer.Option("-f", "--format", help="onnx.")] = "onnx",  # noqa: A002
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="[default: RUN.onnx]", show_default=False)
    ] = None,
) -> None:
    """Write a trained network as one self-describing .onnx file, checked against the network."""
    from kalamos.cli.extras import require_training

    require_training()
    if format != "onnx":
        raise UsageError(f"there is no export format {format!r}", remedy="use -f onnx")
    from kalamos.export.onnx_file import default_destination, export_run
    from kalamos.training import load_run

    destination = output or default_destination(run)
    spec = export_run(load_run(run), destination.stem, destination)
    size = destination.stat().st_size
    typer.echo(
        f"{destination}: {spec.parameters:,} parameters, {size / 1000:,.0f} kB, agrees with the network"
    )
