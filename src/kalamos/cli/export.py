"""`kalamos export`: write a run or a model in a format for other programs."""

from __future__ import annotations

import os
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kalamos.cli._shared import ModelName, data_dir_option, echo, licence_option
from kalamos.errors import UsageError

if TYPE_CHECKING:
    from kalamos.learn.export.base import Exported, Format, Source
    from kalamos.model_file import ModelSpec

FORMATS = ("onnx", "torchscript", "pt2", "full", "state-dict")

INT8_SUFFIX = ".int8.onnx"


@click.command(no_args_is_help=True)
@click.argument("source", type=ModelName(), metavar="RUN|MODEL")
@click.option("-f", "--format", "format_name", type=click.Choice(FORMATS), default="onnx", show_default=True)
@click.option("--int8", is_flag=True, help="Quantise to int8: onnx only; needs the dataset.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="[default: beside the source, with the format's suffix]",
)
@licence_option
@data_dir_option
def export(
    source: str,
    format_name: str,
    int8: bool,
    output: Path | None,
    licence: str | None,
    data_dir: Path | None,
) -> None:
    """Write a run or a model as a file that other programs can open.

    RUN is a folder that `kalamos train` made, MODEL a shipped model's name or an .onnx file.
    The file is read back, and kept only if it gives the same answers as the network.

    \b
    onnx         .onnx            the model file of kalamos, complete with labels and preprocessing
    torchscript  .torchscript.pt  torch.jit.load, libtorch; deprecated in PyTorch
    pt2          .pt2             torch.export.load, any batch size
    full         .full.pt         torch.load(FILE, weights_only=False)
    state-dict   .state-dict.pt   torch.load(FILE, weights_only=True): the weights only

    `full` is a Python pickle, and loading one runs any code in it: load only what you made yourself.
    It and `state-dict` come with FILE.json, which has the labels and the preprocessing; the other
    formats have them inside.

    --int8 makes the file three to four times smaller, and wide networks faster. It calibrates its
    ranges on training images, and is refused if it loses more than 0.05 points of accuracy on the
    held-out images.
    """  # noqa: D301  (\\b keeps Click from wrapping these lines)
    from kalamos.cli._shared import require_training
    from kalamos.model_file.spec import check_licence

    licence = None if licence is None else check_licence(licence)
    if int8 and format_name != "onnx":
        raise UsageError(f"--int8 is for onnx, not for {format_name}", remedy="leave out one of the two")
    require_training()
    from kalamos.learn.export import FORMATS as WRITERS
    from kalamos.learn.export.base import (
        check_destination,
        check_ending,
        default_destination,
        name_of,
        spec_path,
    )
    from kalamos.learn.export.base import export as write
    from kalamos.zoo import find_model, names

    form = WRITERS[format_name]
    suffix = INT8_SUFFIX if int8 else form.suffix
    # As everywhere, a shipped model's name goes first; `./digits` is the folder.
    shipped = source in names()
    run = not shipped and _is_run(Path(source))
    path = Path(source) if run else find_model(source)
    if not run and format_name == "onnx" and not int8:
        raise UsageError(f"{source}: already an onnx model", remedy="add --int8, or choose a format with -f")
    destination = output or default_destination(source, suffix, shipped=shipped)
    check_destination(destination, path)
    if form.spec_beside:
        check_destination(spec_path(destination), path)
    check_ending(destination, suffix)
    name = name_of(destination, suffix) if run else None
    if int8:
        _print_int8(_export_int8(path, name, licence, data_dir, destination))
    else:
        _print_export(write(_open(path, name, licence), form, destination), form)


def _is_run(source: Path) -> bool:
    """Return whether a run is meant; judged by its name if it does not exist."""
    from kalamos.zoo import names

    if os.path.lexists(source):
        return source.is_dir()
    near = get_close_matches(source.name, names(), n=1)
    return source.suffix.lower() != ".onnx" and not (near and source.parent == Path())


def _open(path: Path, name: str | None, licence: str | None) -> Source:
    """Open the run, to be called `name`, or the model, under the chosen licence."""
    from kalamos.learn import load_run
    from kalamos.learn.export import from_model, from_run

    source = from_model(path) if name is None else from_run(load_run(path), name)
    return source if licence is None else replace(source, spec=replace(source.spec, licence=licence))


def _export_int8(
    path: Path, name: str | None, licence: str | None, data_dir: Path | None, destination: Path
) -> Exported:
    from kalamos.learn.export.int8 import calibration_data, export_int8
    from kalamos.learn.export.onnx_format import ONNX, with_licence
    from kalamos.learn.run import load_config
    from kalamos.model_file import read_spec

    if name is None:
        spec, split = read_spec(path), None
        content = path.read_bytes()
        content = content if licence is None else with_licence(content, spec, licence)
    else:
        source = _open(path, name, licence)
        spec, split = source.spec, load_config(path).split
        content, _ = ONNX.checked(source)
    data = calibration_data(spec, data_dir, split=split)
    return export_int8(content, data, destination)


def _print_export(done: Exported, form: Format) -> None:
    logits = f"logits within {done.difference:.1g} of the network's" if done.difference else "the same logits"
    echo(f"{done.path}: {done.spec.parameters:,} parameters, {_kilobytes(done.size_bytes)}, {logits}")
    if form.spec_beside:
        echo(f"{done.path}.json: labels, preprocessing, training")
    _print_spec(done.spec)
    echo(f"open with {form.opens_with.format(_quoted(done.path))}")


def _print_int8(done: Exported) -> None:
    record = done.spec.quantisation
    assert record is not None  # noqa: S101  (it was just made)
    assert done.float_bytes is not None  # noqa: S101
    kept = f", {len(record.float_nodes)} layers kept in float" if record.float_nodes else ""
    echo(
        f"{done.path}: {done.spec.parameters:,} parameters, {_kilobytes(done.size_bytes)} "
        f"(float: {_kilobytes(done.float_bytes)})\n"
        f"int8 by {record.method}{kept}: {record.accuracy:.2%} accuracy on {record.n:,} validation images, "
        f"in float {record.float_accuracy:.2%}\n"
        f"the same answer for {record.agreement:.2%}, logits within {done.difference:.2g}"
    )
    _print_spec(done.spec)
    echo(f"open with kalamos.load({_quoted(done.path)})")


def _print_spec(spec: ModelSpec) -> None:
    from kalamos.model_file.spec import NOT_STATED, licence_text
    from kalamos.zoo import calibration

    choose = "; choose one with --licence" if spec.licence == NOT_STATED else ""
    echo(f"temperature {calibration(spec)}\nlicence: {licence_text(spec.licence)}{choose}")


def _kilobytes(size: int) -> str:
    return f"{size / 1000:,.0f} kB"


def _quoted(path: Path) -> str:
    return repr(path.as_posix())
