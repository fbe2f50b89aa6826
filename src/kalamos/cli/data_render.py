"""`kalamos data render`: a dataset out of handwriting fonts."""

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
    epilog="Exit status: 0 all fonts were read, 1 some were not, 2 wrong usage.",
)
@click.argument("fonts_folder", type=click.Path(path_type=Path))
@click.option("--alphabet", type=click.Choice(list(ALPHABETS)), required=True, help="What to draw.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FOLDER",
    help="Where to; it must not be there yet.",
)
@click.option(
    "--per-glyph",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="Images of each character in each font, every one varied.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the variations.")
@click.option(
    "--list",
    "list_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take only the fonts of this list, such as recipes/handwriting-fonts.txt.",
)
@click.option(
    "--side",
    type=click.Choice(["train", "judge"]),
    help="Take only those of the list to train on, or only those kept to judge by.",
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

    FONTS_FOLDER holds .ttf, .otf, .woff or .woff2 files: each sub-folder a family, each file beside them one
    of its own. The dataset is a folder with one sub-folder a class; ALPHABET.csv in it also tells the fonts
    apart, for splits and cross-validation by font. Needs `pip install 'kalamos[fonts]'`.
    """
    if side is not None and list_file is None:
        raise UsageError("--side needs a list that tells the sides", remedy="add --list FILE")

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
    _tell(rendered.left_out)
    _tell(unread)
    echo(
        f"{rendered.images:,} images, {rendered.classes} of {len(ALPHABETS[alphabet])} classes, "
        f"{rendered.families} fonts: {output}\n"
        f"kalamos train {rendered.manifest} keeps each font on one side of a split"
    )
    sys.exit(1 if unread else 0)


def _tell(problems: tuple[SkippedFile, ...]) -> None:
    for problem in problems:
        echo(str(problem), err=True)
