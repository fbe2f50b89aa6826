"""`kalamos sheets`: print a sheet of boxes for an own alphabet, cut the filled ones into a folder."""

from __future__ import annotations

import shlex
import sys
import time
from collections import Counter
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kalamos.cli._shared import SuggestingGroup, echo, make_folder, print_skipped_inputs, track
from kalamos.errors import FormError, UsageError

if TYPE_CHECKING:
    from kalamos.forms.layout import PaperName
    from kalamos.sheets import CutScan, LetterFolder, SheetPlan
    from kalamos.sheets.foreign import Layout

MAX_TOLD_SCANS = 20
"""Scans that could not be cut and are named one by one."""


@click.group(cls=SuggestingGroup)
def sheets() -> None:
    """Collect samples of an own alphabet on paper.

    \b
    kalamos sheets print --chars "ա բ գ" -o sheet.pdf
    kalamos sheets cut scans/ -o letters/
    """  # noqa: D301  (click's mark for lines that stay as they are)


@sheets.command("print")
@click.option(
    "--chars", metavar="TEXT", help="The characters, with blanks between them or without: each is a class."
)
@click.option(
    "--labels",
    "label_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A text file with a label a line; or a .csv file with the columns label, name, picture.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The PDF.")
@click.option(
    "--count", type=click.IntRange(1, 1000), default=10, show_default=True, help="Boxes for each character."
)
@click.option("--paper", type=click.Choice(["A4", "letter"]), default="A4", show_default=True)
@click.option(
    "--copies",
    type=click.IntRange(1, 10_000),
    default=1,
    show_default=True,
    help="One for each writer: their numbers tell the writers apart.",
)
@click.option("--first", type=click.IntRange(1), default=1, show_default=True, help="The first one's number.")
@click.option("--name", help="What the sheet is called.  [default: the output's name]")
@click.option(
    "--font",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A font to show the characters in.  [default: those installed]",
)
def print_sheet(
    chars: str | None,
    label_file: Path | None,
    output: Path,
    count: int,
    paper: PaperName,
    copies: int,
    first: int,
    name: str | None,
    font: Path | None,
) -> None:
    """Print a sheet: a line of boxes for each character, which stands before it in grey.

    Beside the PDF a file of the same name, .toml, says what is on it. Scans are mostly cut without: the code
    on each page has it too.
    """
    from kalamos.sheets import SheetPlan, parse_chars, print_plan, read_labels

    if (chars is None) == (label_file is None):
        raise UsageError("give the characters after --chars, or a file of them after --labels")
    if output.suffix.lower() != ".pdf":
        raise UsageError(f"{output}: a sheet is a .pdf file", remedy="name it sheet.pdf")
    labels, captions = (parse_chars(chars), {}) if chars is not None else read_labels(label_file or "")
    plan = SheetPlan(name or output.stem, labels, count, paper)
    description = output.with_suffix(".toml")
    _check_replaces_nothing(description, plan)
    make_folder(output.parent)
    named = print_plan(plan, output, captions=captions, copies=copies, first=first, font=font)
    plan.save(description)
    pages = len(plan.pages)
    of = f"{len(labels):,} character{'s' if len(labels) != 1 else ''}, {count:,} boxes each"
    echo(
        f"{output}: {of}, {pages:,} page{'s' if pages != 1 else ''}"
        + (f" x {copies:,}" if copies > 1 else "")
    )
    if named:
        echo(f"shown by a name, since no font here has them: {' '.join(named)}")
    folder = shlex.quote(f"{plan.name}/")
    if plan.describes_itself:
        echo(f"when they are filled: kalamos sheets cut SCANS -o {folder}")
    else:
        echo("the code has no room for all labels, so keep the file beside it; when they are filled:")
        echo(f"kalamos sheets cut SCANS --sheet {shlex.quote(str(description))} -o {folder}")


def _check_replaces_nothing(description: Path, plan: SheetPlan) -> None:
    """Refuse to write over the file of another sheet, whose prints may need it, or of a form.

    Raises:
        UsageError: there is one.
    """
    from kalamos.sheets import SheetPlan

    if description.exists():
        try:
            same = SheetPlan.load(description) == plan
        except FormError:
            same = False
        if not same:
            raise UsageError(f"{description} is there, and says something else", remedy="name another file")


@sheets.command("cut")
@click.argument("scans", nargs=-1, required=True, type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The folder: a sub-folder a class, and manifest.csv. Scans that are in it are not cut again.",
)
@click.option(
    "--sheet",
    "sheet_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The .toml file of the sheet, where its codes cannot be read or have no room for its labels.",
)
@click.option("--label", metavar="TEXT", help="Of a grid of your own: what is in all of its boxes.")
@click.option(
    "--labels",
    "layout_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Of a grid of your own: a .csv file with what is in each box, row by row.",
)
@click.option(
    "--writer", metavar="NAME", default="", help="Who wrote all of them.  [default: told by the sheets]"
)
@click.option(
    "--turn",
    type=click.Choice(["0", "90", "180", "270"]),
    default="0",
    show_default=True,
    help="Of a grid of your own: turn the scans clockwise first.",
)
@click.option(
    "--doubtful",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where doubtful ones go.  [default: beside the output, NAME-doubtful]",
)
@click.option(
    "-j", "--jobs", type=click.IntRange(1), metavar="N", help="Scans cut at once.  [default: processors]"
)
@click.option("-q", "--quiet", is_flag=True, help="No summary, no progress bar.")
def cut_sheets(
    scans: tuple[str, ...],
    output: Path,
    sheet_file: Path | None,
    label: str | None,
    layout_file: Path | None,
    writer: str,
    turn: str,
    doubtful: Path | None,
    jobs: int | None,
    quiet: bool,
) -> None:
    """Cut SCANS of filled sheets, files, folders or globs, into a folder of images a class.

    Blank boxes are left out; what is crossed out, hardly any ink, several characters or unlike the others of
    its label goes into a folder of its own. NAME-contact.png shows all of it.

    Exit status: 0 all scans cut, 1 some not, 2 wrong usage.
    """
    import cv2

    from kalamos.inputs import InputSearch
    from kalamos.sheets import LetterFolder, SheetCutter, SheetPlan, write_contact_sheets

    cv2.setNumThreads(1)  # the workers already fill the cores
    layout = _layout(label, layout_file)
    if layout is not None and sheet_file is not None:
        raise UsageError("--sheet is of a sheet of kalamos, --label and --labels are of other grids")
    plan = None if sheet_file is None else SheetPlan.load(sheet_file)
    folder = LetterFolder(output, doubtful)
    cutter = SheetCutter(folder, plan=plan, layout=layout, writer=writer, turn=int(turn) // 90)
    search = InputSearch(scans, pdfs=True)
    found = iter(search)
    items = chain([next(found)], found)  # a wrong path is reported before anything is read
    started = time.perf_counter()
    done: list[CutScan] = []
    with ExitStack() as stack:
        # What was cut before Ctrl-C is kept: the next run goes on from there.
        stack.callback(_save, folder, done)
        cut = cutter.cut(items, jobs=jobs)
        if not quiet and sys.stderr.isatty():
            cut = tracked = track(cut)
            stack.enter_context(closing(tracked))
        for each in cut:
            done.append(each)  # noqa: PERF402  (those before Ctrl-C count)
    contact: list[Path] = []
    if any(each.boxes for each in done) or folder.taken_in or folder.dropped:
        contact = write_contact_sheets(folder, output.with_name(f"{output.name}-contact.png"))
    if not quiet:
        _print_summary(folder, done, contact, time.perf_counter() - started)
        print_skipped_inputs(search.skipped)
    sys.exit(1 if any(each.error is not None for each in done) else 0)


def _layout(label: str | None, path: Path | None) -> Layout | None:
    from kalamos.sheets import read_layout
    from kalamos.sheets.plan import SheetPlan

    if label is not None and path is not None:
        raise UsageError("give --label for one label in all boxes, or --labels for a file of them")
    if label is not None:
        return (SheetPlan("grid", (label.strip(),)).labels,)
    return None if path is None else read_layout(path)


def _save(folder: LetterFolder, done: list[CutScan]) -> None:
    """Write the lists if anything was cut: a run that read nothing replaces nothing."""
    if any(each.boxes for each in done) or folder.taken_in or folder.dropped:
        folder.save()


def _print_summary(folder: LetterFolder, done: list[CutScan], contact: list[Path], seconds: float) -> None:
    cut = [each for each in done if each.boxes]
    failed = [each for each in done if each.error is not None]
    kept = sum(each.kept for each in cut)
    classes = len({row["label"] for row in folder.rows})
    told = [f"{len(cut):,} scan{'s' if len(cut) != 1 else ''} cut", f"{kept:,} characters"]
    told += [
        f"{sum(each.blank for each in cut):,} blank",
        f"{sum(each.doubtful.total() for each in cut):,} doubtful",
    ]
    known = sum(each.known for each in done)
    told += [f"{known:,} scan{'s were' if known != 1 else ' was'} there"] if known else []
    told += [f"{len(failed):,} not cut"] if failed else []
    echo(" · ".join([*told, f"{seconds:.1f} s"]), err=True)
    for each in failed[:MAX_TOLD_SCANS]:
        echo(f"  {each.path}: {_reason(each)}", err=True)
    if len(failed) > MAX_TOLD_SCANS:
        echo(f"  and {len(failed) - MAX_TOLD_SCANS:,} more", err=True)
    if folder.taken_in or folder.dropped:
        echo(f"moved by hand: {folder.taken_in:,} taken in, {folder.dropped:,} removed", err=True)
    reasons: Counter[str] = sum((each.doubtful for each in cut), Counter())
    if reasons:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
        echo(f"doubtful, in {folder.doubtful_path}: {counts}", err=True)
    if cut:
        echo(f"{folder.path}: {len(folder.rows):,} characters of {classes:,} classes", err=True)
    if contact:
        echo(f"look over {', '.join(map(str, contact[:3]))}", err=True)


def _reason(scan: CutScan) -> str:
    text = str(scan.error)
    return text.removeprefix(f"{scan.path}: ")
