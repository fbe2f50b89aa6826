"""`kalamos data`: list the datasets, download one, inspect one, render one from fonts."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kalamos.cli.names import DatasetName
from kalamos.cli.options import data_dir_option
from kalamos.errors import DatasetError, suggest

if TYPE_CHECKING:
    from kalamos.datasets.download import Progress, Resource
    from kalamos.datasets.named import NamedDataset

PUBLISHED_SUFFIXES = frozenset({".gz", ".bz2", ".zip"})
"""Endings of published files; for others, computing a checksum is not worth the seconds it takes."""

CHECKSUM_OK = "checksum as published"
CHECKSUM_DIFFERS = "not byte for byte the published file, perhaps compressed again"

PATHS_TOO = """\
DATASET may also be a path: a folder with one sub-folder per class, a CSV file
with the columns path,label[,group,split], or a zip archive of either."""


LAZY_VERBS = ("inspect", "render")


class _Verbs(click.Group):
    """Also has the verbs in `LAZY_VERBS`, whose modules are imported only when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *LAZY_VERBS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in LAZY_VERBS:
            lazy: click.Command = getattr(import_module(f"kalamos.cli.data_{cmd_name}"), cmd_name)
            return lazy
        command = super().get_command(ctx, cmd_name)
        if command is None and not ctx.resilient_parsing:
            remedy = suggest(cmd_name, self.list_commands(ctx))
            ctx.fail(f"there is no command 'data {cmd_name}'; {remedy}")
        return command


@click.group(cls=_Verbs)
def data() -> None:
    """List datasets, download one, inspect one for duplicates and wrong labels, render one from fonts."""


@data.command("list")
@data_dir_option
def list_datasets(data_dir: Path | None) -> None:
    """List the datasets that have a name, and which of them are on this machine."""
    from rich.console import Console
    from rich.table import Table

    from kalamos.datasets.named import data_dir as data_root
    from kalamos.datasets.named import describe, names

    root = data_root(data_dir)
    table = Table("name", "classes", "train", "test", "files", "source", box=None, pad_edge=False)
    for column in table.columns[1:4]:
        column.justify = "right"
    sources: dict[str, int] = {}
    for name in names():
        entry = describe(name)
        source = str(sources.setdefault(entry.source, len(sources) + 1))
        test = f"{entry.test:,}" if entry.test else "-"
        row = (name, str(len(entry.alphabet)), f"{entry.train:,}", test, _files(entry, root), source)
        table.add_row(*row)
    table.columns[4].overflow = "fold"  # an ellipsis would hide the end of a path
    table.columns[5].justify = "right"
    table.columns[5].no_wrap = True
    # In a pipe a row is a line, however long.
    Console(width=None if sys.stdout.isatty() else 200, markup=False).print(table)
    click.echo("\nSources:")
    for source, number in sources.items():
        begin = f"{number:>4}  "
        click.echo(textwrap.fill(source, 80, initial_indent=begin, subsequent_indent=" " * len(begin)))
    click.echo(f"\nThe data folder is {root}\n(--data-dir and KALAMOS_DATA choose another).\n{PATHS_TOO}")


@data.command(no_args_is_help=True)
@click.argument("name", type=DatasetName())
@data_dir_option
def get(name: str, data_dir: Path | None) -> None:
    """Download the dataset NAME if it is missing, and check that it is complete.

    An interrupted download continues where it stopped. Needs `pip install 'kalamos[train]'` for a download.
    """
    from kalamos.datasets.named import data_dir as data_root
    from kalamos.datasets.named import describe
    from kalamos.datasets.named.published import published

    entry = describe(name)
    root = data_root(data_dir)
    try:
        paths = entry.find(root)
    except DatasetError:
        if entry.torchvision is None:
            raise
        _download(published(entry.torchvision[0]), root / entry.torchvision[1])
        paths = entry.find(root)
    else:
        click.echo(f"{name} is already here: {_place(paths)}")
        packed = [path for path in paths if path.suffix in PUBLISHED_SUFFIXES]
        if packed and entry.torchvision is not None and find_spec("torchvision"):
            _compare(packed, published(entry.torchvision[0]))
    _check(entry, root, paths)


def _files(entry: NamedDataset, root: Path) -> str:
    try:
        paths = entry.find(root)
    except DatasetError:
        return "absent, to download" if entry.torchvision else "absent, by hand"
    shown = _place(paths)
    return str(shown.relative_to(root)) + ("/" if shown.is_dir() else "")


def _place(paths: tuple[Path, ...]) -> Path:
    return paths[0].parent if len(paths) > 1 else paths[0]


def _download(resources: tuple[Resource, ...], folder: Path) -> None:
    from kalamos.datasets.download import download

    for resource in resources:
        if (folder / resource.file).exists():
            continue  # checked by reading, like all
        try:
            with _progress(resource.file) as progress:
                path = download(resource, folder, progress=progress)
        except DatasetError as error:
            missing = [other.urls[0] for other in resources if not (folder / other.file).exists()]
            remedy = f"try again later; with no network here, put into {folder} by hand: {', '.join(missing)}"
            raise DatasetError(error.problem, remedy=remedy) from error
        click.echo(f"downloaded {path} ({path.stat().st_size:,} bytes, {CHECKSUM_OK})")


def _compare(paths: list[Path], resources: tuple[Resource, ...]) -> None:
    """Print for each file whether it is the published one; one that was compressed again is fine too."""
    from kalamos.datasets.download import md5_of

    checksums = {resource.file: resource.md5 for resource in resources}
    for path in paths:
        if path.name in checksums:
            same = md5_of(path) == checksums[path.name]
            click.echo(f"{path.name}: {CHECKSUM_OK if same else CHECKSUM_DIFFERS}")


def _check(entry: NamedDataset, root: Path, paths: tuple[Path, ...]) -> None:
    try:
        dataset = entry(root)
        entry.check(dataset)
    except DatasetError as error:
        remedy = f"move {_place(paths)} away, and download it again"
        raise DatasetError(error.problem, remedy=remedy) from error
    images = f"{entry.train:,} + {entry.test:,} images" if entry.test else f"{entry.train:,} images"
    click.echo(f"{entry.name} is complete: {images}, {len(entry.alphabet)} classes ({entry.source})")


@contextmanager
def _progress(file: str) -> Iterator[Progress]:
    """Shows on a terminal how far a download has got."""
    if not sys.stderr.isatty():
        yield lambda here, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as SpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        SpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(file, total=None)
        yield lambda here, total: bar.update(task, completed=here, total=total)
