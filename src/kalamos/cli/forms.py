"""`kalamos forms`: draft a template, read scans into a table, print a sheet."""

from __future__ import annotations

import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final, Literal

import click

from kalamos.cli._shared import (
    SuggestingGroup,
    check_engine,
    check_folder,
    echo,
    engine_options,
    make_folder,
    print_skipped_inputs,
    track,
)
from kalamos.errors import FormError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kalamos.forms import FilledForm, FormTemplate
    from kalamos.forms.table import FormTable

SAID: Final = {
    "check": "to check",
    "incomplete": "without all pages",
    "unregistered": "that do not show the form",
    "error": "that cannot be read",
}
"""Status of a form -> how the summary says it."""


@click.group(cls=SuggestingGroup)
def forms() -> None:
    """Read forms with a box for each character into a table.

    \b
    kalamos forms new empty.png -o form.toml     draft a template from an empty form
    kalamos forms read form.toml scans/ -o table.xlsx
    kalamos forms print form.toml -o sheet.pdf   a sheet to print, if there is no form yet
    """  # noqa: D301  (click's mark for lines that stay as they are)


@forms.command()
@click.argument("empty", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--fields",
    "field_list",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A list of fields, one a line: 'student: 8 digits, luhn'. No empty form is needed.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The template, as TOML.")
@click.option("--name", help="What the form is called.  [default: the output's name]")
@click.option(
    "--paper",
    type=click.Choice(["A4", "letter"]),
    default="A4",
    show_default=True,
    help="With --fields: the paper's size.",
)
def new(
    empty: tuple[Path, ...],
    field_list: Path | None,
    output: Path,
    name: str | None,
    paper: Literal["A4", "letter"],
) -> None:
    """Draft a template from an empty form, EMPTY: a picture or a PDF; several are its pages.

    Every row of boxes becomes a field. A picture beside the template shows their names: rename them there,
    and say what each holds (model, charset, pattern, check).
    """
    if output.suffix.lower() != ".toml":
        raise UsageError(f"{output}: a template is a .toml file", remedy="name it form.toml")
    if output.exists():
        raise UsageError(f"{output} is there", remedy="name another file, or remove it")
    if bool(empty) == (field_list is not None):
        raise UsageError("give an empty form, or a list of fields after --fields")
    called = name or output.stem
    make_folder(output.parent)
    if field_list is not None:
        template = _listed(field_list, called, paper)
        template.save(output)
        template_file, sheet = (shlex.quote(str(each)) for each in (output, f"{output.stem}.pdf"))
        echo(f"{output}: {_count(template)}. Print it: kalamos forms print {template_file} -o {sheet}")
        return
    from kalamos.forms.drafting import draft_template, draw_numbers

    pages = _empty_pages(empty)
    names = [f"{output.stem}-page{number}.png" for number in range(1, len(pages) + 1)]
    template = draft_template(called, pages, names)
    for number, (page, picture) in enumerate(zip(pages, names, strict=True), 1):
        _write_picture(output.with_name(picture), page)
        _write_picture(
            output.with_name(f"{output.stem}-fields{number}.png"), draw_numbers(template, number, page)
        )
    template.save(output)
    echo(f"{output}: {_count(template)}")
    echo(f"their names are in {output.stem}-fields1.png: rename them in {output}, then")
    echo(f"kalamos forms read {shlex.quote(str(output))} SCANS -o table.xlsx")


def _count(template: FormTemplate) -> str:
    count, boxes = len(template.fields), sum(len(field.boxes) for field in template.fields)
    return f"{count:,} field{'s' if count != 1 else ''}, {boxes:,} boxes"


def _listed(path: Path, name: str, paper: Literal["A4", "letter"]) -> FormTemplate:
    from kalamos.forms.field_list import parse_fields
    from kalamos.forms.layout import layout_fields

    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FormError(f"{path}: cannot be read as text ({error})") from error
    return layout_fields(parse_fields(text), name=name, paper=paper)


def _empty_pages(paths: tuple[Path, ...]) -> list[NDArray[np.uint8]]:
    from kalamos.errors import ImageError
    from kalamos.images.documents import read_pages

    pages = []
    for path in paths:
        for page in read_pages(path):
            if isinstance(page.image, ImageError):
                raise page.image
            pages.append(page.image)
    return pages


def _write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    import cv2

    from kalamos.utils.atomic_write import write_bytes

    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)  # type: ignore[assignment]
    _, encoded = cv2.imencode(".png", picture)
    write_bytes(path, encoded.tobytes())


@forms.command("read")
@click.argument("template", type=click.Path(path_type=Path))
@click.argument("scans", nargs=-1, required=True, type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The table: .csv, .xlsx or .jsonl. Rows that are there stay, and their scans are not read again.",
)
@click.option(
    "--overlay",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Draw what was read over each scan, as PNG in this folder.",
)
@click.option(
    "--certainty",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="P",
    help="How sure a field's text must be to be ok.  [default: 0.98, beside a check digit 0.95]",
)
@click.option(
    "-j", "--jobs", type=click.IntRange(1), metavar="N", help="Forms read at once.  [default: processors]"
)
@engine_options("the answers")
@click.option("-q", "--quiet", is_flag=True, help="No summary, no progress bar.")
def read_forms(
    template: Path,
    scans: tuple[str, ...],
    output: Path,
    overlay: Path | None,
    certainty: float | None,
    jobs: int | None,
    engine: str,
    address: str | None,
    quiet: bool,
) -> None:
    """Read SCANS of the form TEMPLATE: files, folders or globs. One row a form, one column a field.

    A field is ok, check (look at it), blank or missing (its page is). A scan that does not show the form, or
    cannot be read, is a row that says so.

    Exit status: 0 all forms read, those of rows that were there too; 1 some not, 2 wrong usage.
    """
    import cv2

    from kalamos.forms import FormTemplate
    from kalamos.forms.filled import UNREAD
    from kalamos.forms.reader import FormReader
    from kalamos.forms.table import FormTable
    from kalamos.inputs import InputSearch
    from kalamos.inputs.item import name_of

    check_engine(engine, address)
    cv2.setNumThreads(1)  # the workers already fill the cores
    form = FormTemplate.load(template)
    table = FormTable(form, output)
    if overlay is not None:
        check_folder(overlay)
    reader = FormReader(form, certainty=certainty)
    search = InputSearch(scans, pdfs=True)
    found = iter(search)
    items = chain([next(found)], found)  # a wrong path is reported before anything is read
    started = time.perf_counter()
    with ExitStack() as stack:
        # What was read before Ctrl-C is kept: the next run goes on from there.
        stack.callback(_save, table)
        unread = (item for item in items if name_of(item) not in table.known_scans)
        read: Iterator[FilledForm]
        if engine == "ray":
            from kalamos.cluster.pages import FormWork, read_on_ray
            from kalamos.forms.reader import join_sheets

            pictures = overlay is not None or output.suffix.lower() == ".xlsx"
            work = FormWork(str(template.absolute()), certainty, pictures=pictures)
            scans_read = stack.enter_context(closing(read_on_ray(work, unread, jobs=jobs, address=address)))
            read = join_sheets(scans_read, len(form.pages))
        else:
            read = reader.read_all(unread, jobs=jobs)
        if not quiet and sys.stderr.isatty():
            read = tracked = track(read)
            stack.enter_context(closing(tracked))
        for filled in read:
            if overlay is not None:
                _draw(filled, overlay)
            table.add(filled)
    if not quiet:
        _print_summary(table, time.perf_counter() - started)
        print_skipped_inputs(search.skipped)
    sys.exit(1 if table.kept_unread or any(form.status in UNREAD for form in table.forms) else 0)


def _save(table: FormTable) -> None:
    """Write the table, unless every scan was absent: a wrong path replaces nothing.

    Raises:
        UsageError: none of the scans exists.
    """
    from kalamos.errors import ImageNotFoundError

    absent = [all(isinstance(scan.error, ImageNotFoundError) for scan in form.scans) for form in table.forms]
    if table.forms and all(absent):
        raise UsageError(f"nothing was read, so {table.path} was not written", remedy="name scans that exist")
    if table.forms:
        table.save()


def _draw(form: FilledForm, folder: Path) -> None:
    """Draw what was read over each of a form's scans."""
    make_folder(folder)
    for number, scan in enumerate(form.scans):
        if scan.image is not None:
            name = PurePath(scan.path or f"scan {number + 1}").name.replace("#", "-")
            _write_picture(folder / f"{name}.png", form.render(number))


def _print_summary(table: FormTable, seconds: float) -> None:
    from kalamos.forms.filled import UNREAD

    counts: Counter[str] = Counter(form.status for form in table.forms)
    fields = Counter(reading.status for form in table.forms for reading in form.fields.values())
    told = [f"{len(table.forms):,} form{'s' if len(table.forms) != 1 else ''} read"]
    told += [f"{counts[status]:,} {words}" for status, words in SAID.items() if counts[status]]
    if table.kept:
        told.append(f"{len(table.kept):,} were there")
    echo(" · ".join([*told, f"{seconds:.1f} s"]), err=True)
    if fields:
        echo(
            "fields: " + ", ".join(f"{count:,} {status}" for status, count in fields.most_common()), err=True
        )
    if table.kept_unread:
        echo(
            f"rows that were there of scans that could not be read: {table.kept_unread:,}. "
            f"To read these again, remove the rows (status {' or '.join(sorted(UNREAD))}) from {table.path}",
            err=True,
        )


@forms.command("print")
@click.argument("template", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The PDF.")
@click.option(
    "--copies", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Each with its own number."
)
@click.option("--first", type=click.IntRange(1), default=1, show_default=True, help="The first one's number.")
@click.option(
    "--font",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A TrueType font for names that the built-in ones lack.",
)
def print_form(template: Path, output: Path, copies: int, first: int, font: Path | None) -> None:
    """Print the form TEMPLATE: a PDF with its fields, markers in the corners, and a code on each sheet.

    The template gets the markers too, so that scans of the prints are found again, however they lie.
    """
    from kalamos.forms import FormTemplate
    from kalamos.forms.sheet import print_sheet

    form = FormTemplate.load(template)
    printed = print_sheet(form, output, copies=copies, first=first, font=font)
    if printed != form:
        printed.save(template)
        echo(f"{template}: markers added")
    echo(f"{output}: {copies:,} cop{'ies' if copies != 1 else 'y'} of {len(form.pages):,} page(s)")
