"""`kalamos models`, `export` and `completion`: list models, show a card, export; Tab completion."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import textwrap
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import get_completion_class

from kalamos.cli import cli
from kalamos.cli._shared import (
    MODEL_NAME,
    data_dir_option,
    echo,
    echo_json,
    licence_option,
    print_licence,
    require_training,
)
from kalamos.errors import UsageError

if TYPE_CHECKING:
    from kalamos.learn.export.base import Exported

__all__ = ["lay_out_card"]

EXPORT_FORMATS = ("onnx", "torchscript", "pt2", "full", "state-dict", "litert")
WEB = "web"
"""The page of `kalamos.web`: the one format that needs no PyTorch."""

INDENT: Final = "  "
COLUMN_GAP: Final = "  "

_FACT = re.compile(r"- \*\*(.+?)\*\*: (.*)")
_CHECKSUM = re.compile(r",? ?\(?(?:[\w ]+: )?SHA-256 `[0-9a-f]{64}`\)?")
"""Checksums are left to programs: `--json` has them."""


@click.command()
@click.argument("model", required=False, type=MODEL_NAME)
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
        from kalamos.zoo import find_model, render_card

        width = min(100, shutil.get_terminal_size().columns)  # 80 in a pipe
        echo(lay_out_card(render_card(find_model(model)), width).rstrip("\n"))
        echo(f"\nThe recipe and all checksums: kalamos models {shlex.quote(model)} --json")


def _print_list() -> None:
    from rich.console import Console
    from rich.table import Table

    from kalamos.model_file import read_spec
    from kalamos.zoo import base_names, model_path, names

    table = Table("model", "reads", "parameters", "size", "accuracy [95 %]", box=None, pad_edge=False)
    for column in table.columns[2:4]:
        column.justify = "right"
    for name in (*names(), *base_names()):
        path = model_path(name)
        spec = read_spec(path)
        accuracy = "; ".join(
            f"{m.dataset} {m.accuracy:.2%} [{m.interval[0]:.2%}, {m.interval[1]:.2%}]" for m in spec.metrics
        )
        base = name in base_names()
        reads = "what it is taught" if base else f"{len(spec.alphabet)} {spec.alphabet.name}"
        size = _kilobytes(path.stat().st_size)
        table.add_row(
            name,
            reads,
            f"{spec.parameters:,}",
            size,
            accuracy or ("see kalamos teach" if base else "not measured"),
        )
    Console().print(table)


@click.command(no_args_is_help=True)
@click.argument("source", type=MODEL_NAME, metavar="RUN|MODEL")
@click.option(
    "-f",
    "--format",
    "format_name",
    type=click.Choice([*EXPORT_FORMATS, WEB]),
    default="onnx",
    show_default=True,
)
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
    litert       .tflite          phones: LiteRT, TensorFlow Lite; needs the extra litert
    web          a folder         a page that reads in the browser, for any static host, and
                                  kalamos.html, the same in one file; of a MODEL, without PyTorch

    `full` is a Python pickle, and loading one runs any code in it: load only what you made yourself.
    It, `state-dict` and `litert` come with FILE.json, which has the labels and the preprocessing; the other
    formats have them inside.

    --int8 makes the file three to four times smaller, and wide networks faster. It calibrates its
    ranges on training images, and is refused if it loses more than 0.05 points of accuracy on the
    held-out images.
    """  # noqa: D301  (\\b keeps Click from wrapping these lines)
    if format_name == WEB:
        _export_page(source, output, int8=int8, licence=licence)
        return
    require_training()
    from kalamos.learn.export import FORMATS, export_model

    done = export_model(source, output, format=format_name, int8=int8, licence=licence, data_dir=data_dir)
    _print_export(done, spec_beside=FORMATS[format_name].spec_beside)
    print_licence(done.spec)
    opener = FORMATS[format_name].opens_with.format(repr(done.path.as_posix()))
    echo(f"open with {opener}")


def _export_page(source: str, output: Path | None, *, int8: bool, licence: str | None) -> None:
    from kalamos.model_file import check_model
    from kalamos.web import write_page
    from kalamos.zoo import find_model

    if int8 or licence is not None:
        raise UsageError(
            "-f web takes the model as it is",
            remedy="export it as onnx with these options first, then that file",
        )
    if Path(source).is_dir():
        raise UsageError(
            f"{source} is a run", remedy=f"export it first: kalamos export {shlex.quote(source)} -o FILE.onnx"
        )
    model = find_model(source)
    name = check_model(model).name
    folder = Path(f"{name}-web") if output is None else output
    single, *_, hosted = write_page([model], folder)
    echo(f"{hosted}: for any static host, with all files of {folder}; works offline once it was opened")
    echo(f"{single}: the same in one file, {_kilobytes(single.stat().st_size)}, opens from disk")


def _print_export(done: Exported, *, spec_beside: bool) -> None:
    parameters = f"{done.path}: {done.spec.parameters:,} parameters, {_kilobytes(done.size_bytes)}"
    record = done.spec.quantisation
    if done.float_bytes is not None and record is not None:
        kept = f", {len(record.float_nodes)} layers kept in float" if record.float_nodes else ""
        echo(
            f"{parameters} (float: {_kilobytes(done.float_bytes)})\n"
            f"int8 by {record.method}{kept}: {record.accuracy:.2%} accuracy on {record.n:,} "
            f"validation images, in float {record.float_accuracy:.2%}\n"
            f"the same answer for {record.agreement:.2%}, logits within {done.difference:.2g}"
        )
        return
    logits = f"logits within {done.difference:.1g} of the network's" if done.difference else "the same logits"
    echo(f"{parameters}, {logits}")
    if spec_beside:
        echo(f"{done.path}.json: labels, preprocessing, training")


def _kilobytes(size: int) -> str:
    return f"{size / 1000:,.0f} kB"


@click.command(no_args_is_help=True)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script for Tab completion of kalamos in a shell.

    Run one of these once, then open a new shell; Tab then completes verbs, options, models, formats,
    datasets, architectures and files.

    \b
    bash:  kalamos completion bash >> ~/.bashrc
    zsh:   kalamos completion zsh >> ~/.zshrc
    fish:  kalamos completion fish > ~/.config/fish/completions/kalamos.fish

    zsh needs `autoload -Uz compinit && compinit` before that line in ~/.zshrc.
    """  # noqa: D301  (\\b keeps Click from wrapping these lines)
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101  (click knows each shell of the choice)
    click.echo(found(cli, {}, "kalamos", "_KALAMOS_COMPLETE").source())


def lay_out_card(card: str, width: int = 80) -> str:
    r"""Lay out a card for a terminal: without Markdown, checksums and the recipe.

    Args:
        card: what `kalamos.zoo.render_card` returns.
        width: columns of the terminal.

    >>> print(lay_out_card("# digits\n- **Reads**: 0 1\n- **Made by**: me\n| a | n |\n|---|---|\n| b | 10 |"))
    digits
      Reads    0 1
      Made by  me
      a   n
      b  10
    <BLANKLINE>
    """
    text = re.sub(r"\n```json\n.*?\n```\n", "\n", card, flags=re.DOTALL)
    lines: list[str] = []
    for kind, block in groupby(text.splitlines(), key=_kind):
        together = list(block)
        match kind:
            case "heading":
                lines += [line.lstrip("# ") for line in together]
            case "fact":
                lines += _facts(together, width)
            case "table":
                lines += _table(together, width)
            case "blank":
                lines.append("")
            case _:
                lines += textwrap.wrap(
                    _plain(" ".join(together)), width, initial_indent=INDENT, subsequent_indent=INDENT
                )
    return "\n".join(lines).rstrip("\n") + "\n"


def _kind(line: str) -> str:
    if not line.strip():
        return "blank"
    if line.startswith("#"):
        return "heading"
    if line.startswith("|"):
        return "table"
    return "fact" if _FACT.fullmatch(line) else "text"


def _plain(text: str) -> str:
    return _CHECKSUM.sub("", text).replace("`", "").replace("\\|", "|")


def _facts(lines: list[str], width: int) -> list[str]:
    facts = [(found[1], _plain(found[2])) for line in lines if (found := _FACT.fullmatch(line))]
    column = max(len(name) for name, _ in facts)
    laid_out = []
    for name, value in facts:
        begin = f"{INDENT}{name:<{column}}{COLUMN_GAP}"
        laid_out += textwrap.wrap(value, width, initial_indent=begin, subsequent_indent=" " * len(begin)) or [
            begin.rstrip()
        ]
    return laid_out


def _table(lines: list[str], width: int) -> list[str]:
    """Fit columns to their content and align numbers right; wrap a long table of short rows into columns."""
    table = [[_plain(cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    head, body = table[0], table[2:]  # between them is Markdown's rule
    shown = [i for i, name in enumerate(head) if "SHA-256" not in name]
    columns = [[row[i] if i < len(row) else "" for row in (head, *body)] for i in shown]
    widths = [max(map(len, column)) for column in columns]
    numeric = [all(re.match(r"[\d.,]+%?$|$", cell) for cell in column[1:]) for column in columns]
    rows = [
        COLUMN_GAP.join(
            f"{cell:>{w}}" if right else f"{cell:<{w}}"
            for cell, w, right in zip(row, widths, numeric, strict=True)
        )
        for row in zip(*columns, strict=True)
    ]
    beside = max(1, (width - len(INDENT) + 2 * len(COLUMN_GAP)) // (len(rows[0]) + 2 * len(COLUMN_GAP)))
    if len(rows) < 16 or beside == 1:
        return [f"{INDENT}{row}".rstrip() for row in rows]
    high = -(-len(rows[1:]) // beside)
    parts = [rows[1:][start : start + high] for start in range(0, len(rows) - 1, high)]
    laid_out = [[rows[0], *part, *[""] * (high - len(part))] for part in parts]
    return [
        (INDENT + (2 * COLUMN_GAP).join(f"{row:<{len(rows[0])}}" for row in side)).rstrip()
        for side in zip(*laid_out, strict=True)
    ]
