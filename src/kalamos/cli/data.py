"""`kalamos data`: list the datasets, download one, inspect one, render one from fonts."""

from __future__ import annotations

import shlex
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from kalamos.alphabets import ARABIC_28, ARABIC_DIGITS, DIGITS, LATIN_26, LATIN_47, LATIN_62
from kalamos.cli._shared import (
    DATASET_NAME,
    SuggestingGroup,
    classes_option,
    data_dir_option,
    echo,
    format_option,
    print_result,
    progress_callback,
)
from kalamos.errors import DatasetError, UsageError

if TYPE_CHECKING:
    from kalamos.datasets import ClassFolders
    from kalamos.datasets.dataset import SkippedFile
    from kalamos.datasets.download import Resource
    from kalamos.datasets.named import NamedDataset

PUBLISHED_SUFFIXES = frozenset({".gz", ".bz2", ".zip"})
"""Endings of published files; for others, computing a checksum is not worth the seconds it takes."""

CHECKSUM_OK = "checksum as published"
CHECKSUM_DIFFERS = "not byte for byte the published file, perhaps compressed again"

ALPHABETS = {
    alphabet.name: alphabet for alphabet in (DIGITS, LATIN_26, LATIN_47, LATIN_62, ARABIC_28, ARABIC_DIGITS)
}

PATHS_TOO = """\
DATASET may also be a path: a folder with one sub-folder per class, a CSV file
with the columns path,label[,group,split], or a zip archive of either."""


@click.group(cls=SuggestingGroup)
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
    sources: dict[tuple[str, str], int] = {}
    for name in names():
        entry = describe(name)
        source = str(sources.setdefault((entry.source, entry.licence), len(sources) + 1))
        test = f"{entry.test:,}" if entry.test else "-"
        row = (name, str(len(entry.alphabet)), f"{entry.train:,}", test, _files(entry, root), source)
        table.add_row(*row)
    table.columns[4].overflow = "fold"  # an ellipsis would hide the end of a path
    table.columns[5].justify = "right"
    table.columns[5].no_wrap = True
    # In a pipe a row is a line, however long.
    Console(width=None if sys.stdout.isatty() else 200, markup=False).print(table)
    click.echo("\nSources:")
    for (source, licence), number in sources.items():
        begin, told = f"{number:>4}  ", f"{source}. Licence: {licence}"
        click.echo(textwrap.fill(told, 80, initial_indent=begin, subsequent_indent=" " * len(begin)))
    click.echo(f"\nThe data folder is {root}\n(--data-dir and KALAMOS_DATA choose another).\n{PATHS_TOO}")


@data.command(no_args_is_help=True)
@click.argument("name", type=DATASET_NAME)
@data_dir_option
def get(name: str, data_dir: Path | None) -> None:
    """Download the dataset NAME if it is missing, and check that it is complete.

    An interrupted download continues where it stopped. Needs `pip install 'kalamos[train]'` for a download.
    """
    from kalamos.datasets.download import published
    from kalamos.datasets.named import data_dir as data_root
    from kalamos.datasets.named import describe

    entry = describe(name)
    if entry.is_drawn:
        click.echo(f"{name} needs no files: it is drawn whenever it is used")
        return
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
    if entry.is_drawn:
        return "none, it is drawn"
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
            with progress_callback(resource.file, unit="bytes") as progress:
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


@data.command(
    no_args_is_help=True,
    epilog="Exit status: 0 no errors (there may be warnings), 1 errors were found, 2 wrong usage.",
)
@click.argument("dataset", type=DATASET_NAME)
@format_option
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE.html|FOLDER",
    help="Also write a page with images; to a folder, also the findings as JSON.",
)
@click.option(
    "--labels/--no-labels",
    default=True,
    show_default=True,
    help="Look for likely label errors.",
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    help="Look for label errors in a random sample of about this size.  [default: 50000]",
)
@click.option(
    "--most",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="Examples of each finding in the text.",
)
@classes_option
@data_dir_option
def inspect(
    dataset: str,
    format_name: str,
    report: Path | None,
    labels: bool,
    sample: int | None,
    most: int,
    data_dir: Path | None,
    classes: ClassFolders | None,
) -> None:
    """Find what is wrong with DATASET: a name, a folder with one sub-folder per class, a CSV file or a zip.

    Errors: unreadable or misplaced images; blank images; equal images under two labels, in two splits or
    in two groups; classes without a training image.

    Warnings: class names that look alike; near duplicates; equal images within a split; likely label errors;
    ink that is not found; mixed polarity; unusual sizes; classes with few images, absent from a split or
    imbalanced; other files.
    """
    from kalamos.evaluation.reporting import report_json
    from kalamos.inspection import DEFAULT_LABEL_SAMPLE
    from kalamos.inspection import inspect as inspect_dataset
    from kalamos.inspection.report import as_record, print_report, write_report

    diagnosis = inspect_dataset(
        dataset, labels=labels, sample=sample or DEFAULT_LABEL_SAMPLE, data_dir=data_dir, classes=classes
    )
    if report is not None:
        write_report(report, diagnosis)
    print_result(
        format_name,
        lambda: report_json(as_record(diagnosis)),
        lambda console: print_report(console, diagnosis, most=most),
    )
    if report is not None and format_name == "text":
        echo(f"\nwrote {report}")
    sys.exit(1 if diagnosis.errors else 0)


@data.command(
    no_args_is_help=True,
    epilog="Exit status: 0 all fonts read, 1 some not, 2 wrong usage.",
)
@click.argument("fonts_folder", type=click.Path(path_type=Path))
@click.option("--alphabet", type=click.Choice(list(ALPHABETS)), required=True, help="The characters to draw.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FOLDER",
    help="A new folder for the dataset.",
)
@click.option(
    "--per-glyph",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="Images of each character per font, each deformed at random.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Random seed.")
@click.option(
    "--list",
    "list_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Use only the fonts in this list, such as recipes/handwriting-fonts.txt.",
)
@click.option(
    "--side",
    type=click.Choice(["train", "judge"]),
    help="Use only the training fonts of the list, or only those it reserves for evaluation.",
)
def render(
    fonts_folder: Path,
    alphabet: str,
    output: Path,
    per_glyph: int,
    seed: int,
    list_file: Path | None,
    side: Literal["train", "judge"] | None,
) -> None:
    """Draw characters in handwriting fonts, as a dataset of images.

    FONTS_FOLDER holds .ttf, .otf, .woff or .woff2 files: each sub-folder is a font family, each file beside
    them a family of its own. The dataset is a folder with one sub-folder per class; ALPHABET.csv in it also
    names each image's font, for splits and cross-validation by font. Needs `pip install 'kalamos[fonts]'`.
    """
    if side is not None and list_file is None:
        raise UsageError("--side needs a list of fonts", remedy="add --list FILE")

    from rich.console import Console
    from rich.progress import track

    from kalamos.datasets.fonts import find_families, read_list, require_fonts, select_families
    from kalamos.datasets.render import render_dataset

    require_fonts()
    families = find_families(fonts_folder)
    absent: tuple[SkippedFile, ...] = ()
    if list_file is not None:
        families, absent = select_families(families, read_list(list_file), side)
    watched = track(
        families,
        description="drawing fonts",
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    rendered = render_dataset(watched, ALPHABETS[alphabet], output, per_glyph=per_glyph, seed=seed)
    unread = (*absent, *rendered.unreadable)
    for problem in (*rendered.left_out, *unread):
        echo(str(problem), err=True)
    manifest = shlex.quote(str(rendered.manifest))
    echo(
        f"{rendered.images:,} images, {rendered.classes} of {len(ALPHABETS[alphabet])} classes, "
        f"{rendered.families} fonts: {output}\n"
        f"next: kalamos train {manifest}, which keeps each font on one side of the split"
    )
    sys.exit(1 if unread else 0)
