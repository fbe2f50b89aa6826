"""`kalamos data render`: render a dataset from handwriting fonts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from kalamos.alphabets import ARABIC_28, DIGITS, LATIN_26, LATIN_47, LATIN_62
from kalamos.cli.terminal import echo
from kalamos.errors import UsageError

if TYPE_CHECKING:
    from kalamos.datasets.dataset import SkippedFile

ALPHABETS = {alphabet.name: alphabet for alphabet in (DIGITS, LATIN_26, LATIN_47, LATIN_62, ARABIC_28)}


@click.command(
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

    from kalamos.fonts.families import find_families, read_list, select_families
    from kalamos.fonts.glyphs import require_fonts
    from kalamos.fonts.rendering import render_dataset

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
    echo(
        f"{rendered.images:,} images, {rendered.classes} of {len(ALPHABETS[alphabet])} classes, "
        f"{rendered.families} fonts: {output}\n"
        f"next: kalamos train {rendered.manifest}, which keeps each font on one side of the split"
    )
    sys.exit(1 if unread else 0)
