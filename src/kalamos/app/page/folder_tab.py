"""The tab for a whole folder: images and zip archives, read, looked through, downloaded."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from kalamos.app._gradio import gr
from kalamos.app.errors import Limits
from kalamos.app.page.context import (
    PRIVATE,
    QUIET,
    Context,
    UploadedFile,
    asset_text,
    charset_field,
    confidence_field,
    files_input,
    saves_file,
    uploaded_bytes,
)
from kalamos.app.page.html import (
    columns_html,
    data_uri,
    fit_within,
    hint_html,
    percent,
    problem_html,
    render,
)
from kalamos.app.page.session import CONFIDENCE_BINS, ROW_FILTERS, SORT_ORDERS, Review, Row, Session, Sheet
from kalamos.datasets.sources import Source, open_source
from kalamos.errors import (
    CorruptImageError,
    DatasetError,
    ImageError,
    ImageTooLargeError,
    KalamosError,
    NoInkError,
    NotACharacterError,
    UsageError,
)
from kalamos.images import EXTENSIONS, decode_grey
from kalamos.images.files import display_name
from kalamos.inputs.files import name_order
from kalamos.predict_options import PredictOptions
from kalamos.predictions import NOT_A_CHARACTER, SEVERAL, Prediction
from kalamos.preprocessing.steps import GreyImage
from kalamos.recognizer import Recognizer
from kalamos.writers import Summary, columns_of, open_writer

__all__ = ["ROWS_PER_PAGE", "build_folder", "export", "found_images", "pages", "read_sheet", "table_html"]

MAX_IMAGES = 10_000
"""In one folder. Their table, thumbnails included, has a few MB by then."""

MAX_UNPACKED_RATIO = 10
"""All images together may have so many times the bytes that may be uploaded at once."""

READ_BATCH_IMAGES = 64
THUMBNAIL_PX = 40
ROWS_PER_PAGE = 100

MAX_BARS = 60
"""Labels in the plot; the rarest of a large alphabet are left out."""

DOWNLOAD_FORMATS: Final = {"CSV": "csv", "JSON": "json", "Parquet": "parquet"}

FOLDER_START = hint_html(
    "Drop images, a folder or a zip file of images. Every image becomes a row; "
    "one that cannot be read is a row with its error."
)

CHOOSE_FOLDER_HTML: Final = """
<div class="choose-folder">
  <button type="button">Choose a folder</button>
  <input type="file" webkitdirectory multiple hidden aria-label="A folder of images">
  <span role="status" class="hint"></span>
</div>
"""


def build_folder(context: Context, page: gr.Blocks, tab: gr.Tab) -> None:
    """Build the tab."""
    files = files_input(
        file_count="multiple",
        file_types=[*sorted(EXTENSIONS), ".zip"],
        label="Images, a folder, or a zip file of images",
        elem_id="files",
        height=150,
    )
    gr.HTML(
        "",
        html_template=CHOOSE_FOLDER_HTML,
        js_on_load=asset_text("folder.js"),
        endings=sorted(EXTENSIONS),
        elem_id="choose-folder",
    )
    with gr.Row(elem_classes="tight"):
        start = gr.Button("Read them", variant="primary", elem_id="read-files", min_width=140, scale=1)
        charset = charset_field(
            placeholder="all; or e.g. digits", elem_id="folder-charset", scale=2, min_width=140
        )
        least = confidence_field(elem_id="folder-least", scale=2, min_width=160)
    summary = gr.HTML(FOLDER_START, elem_id="summary")
    with gr.Column(visible=False) as results:
        with gr.Row(elem_classes="tight"):
            order = _choice(SORT_ORDERS, label="Order", elem_id="order")
            shown = _choice(ROW_FILTERS, label="Show", elem_id="shown")
            label = gr.Dropdown(
                [("Any", "")], value="", label="Character", elem_id="only-label", min_width=110
            )
            number = gr.Number(1, label="Page", precision=0, elem_id="page", min_width=80)
        table = gr.HTML("", elem_id="table")
        with gr.Row(elem_classes="tight"):
            buttons = {
                form: gr.Button(f"Download {name}", elem_id=f"download-{form}", min_width=130)
                for name, form in DOWNLOAD_FORMATS.items()
            }
        saved = gr.HTML("", elem_id="saved")
        with gr.Row():
            labels_plot = gr.HTML("", elem_id="labels-plot", min_width=280)
            confidence_plot = gr.HTML("", elem_id="confidence-plot", min_width=280)

    session, model = context.session, context.model
    everything = [summary, results, label, table, number, labels_plot, confidence_plot]
    choice = [session, order, shown, label]
    gr.on(
        [start.click, files.upload],
        partial(_read_folder, context),
        [session, model, files, least, charset],
        everything,
        show_progress_on=summary,
        concurrency_limit=2,
        **PRIVATE,
    )
    gr.on([order.input, shown.input, label.input], _folder_page, choice, [table, number], **QUIET)
    number.input(_folder_page, [*choice, number], [table, number], **QUIET)
    # What was corrected meanwhile under "Check and teach" shows at once.
    tab.select(_folder_view, [*choice, number], everything, **QUIET)
    # And what this visit read before the page was loaded again.
    page.load(_folder_view, session, everything, **QUIET)
    for form, button in buttons.items():
        saves_file(button, form, partial(_download, form), session, saved)


def _choice(values: Sequence[str], **named: Any) -> gr.Dropdown:
    return gr.Dropdown(list(values), value=values[0], min_width=140, **named)


def _read_folder(
    context: Context,
    visit: Session,
    model: str,
    given: list[UploadedFile],
    least: float,
    charset: str,
    progress: gr.Progress = gr.Progress(),  # noqa: B008  (how Gradio asks for it)
) -> tuple[Any, ...]:
    visit.forget_sheet()
    if not given:
        return _nothing(FOLDER_START)
    try:
        sheet = read_sheet(
            visit.reader(context.registry, model),
            model,
            given,
            visit.folder("sheet"),
            context.limits,
            context.options(least, charset),
            progress=lambda done, total: progress((done, total), desc="Reading", unit="images"),
        )
    except KalamosError as error:
        return _nothing(problem_html(error))
    visit.sheet, visit.review = sheet, Review(sheet)
    return _folder_view(visit)


def _nothing(said: str) -> tuple[Any, ...]:
    return said, gr.update(visible=False), *[gr.skip()] * 5


def _folder_view(
    visit: Session,
    order: str = SORT_ORDERS[0],
    shown: str = ROW_FILTERS[0],
    label: str | None = "",
    page: float | None = 1,
) -> tuple[Any, ...]:
    """Return all that is shown of the folder, with what people said of it since it was read."""
    sheet = visit.sheet
    if sheet is None:
        return _nothing(FOLDER_START)
    counts = sheet.counts()
    label = label if label in counts else ""
    found = [("Any", ""), *((f"{each} ({count:,})", each) for each, count in counts.items())]
    often = "How often each occurs, as corrected" if sheet.corrected else "How often each was read"
    sure = {f"{100 * each // CONFIDENCE_BINS} %": count for each, count in enumerate(sheet.histogram())}
    return (
        _summary_html(sheet),
        gr.update(visible=True),
        gr.update(choices=found, value=label),
        *_folder_page(visit, order, shown, label, page),
        columns_html(often, dict(sorted(list(counts.items())[:MAX_BARS]))),
        columns_html("How sure the model was, from", sure),
    )


def _folder_page(
    visit: Session, order: str, shown: str, label: str | None, page: float | None = 1
) -> tuple[str, Any]:
    if visit.sheet is None:
        return "", gr.skip()
    try:
        rows = visit.sheet.view(order, shown, label or "")
    except KalamosError as error:
        return problem_html(error), gr.skip()
    last = pages(rows)
    at = int(min(max(1, page or 1), last))
    return table_html(visit.sheet, rows, at), gr.update(label=f"Page, of {last}", value=at)


def _download(form: str, visit: Session) -> tuple[str, bytes | None, str]:
    sheet = visit.sheet
    if sheet is None:
        return "", None, FOLDER_START
    try:
        document = export(sheet, form)
    except KalamosError as error:
        return "", None, problem_html(error)
    said = f"kalamos.{form}: {len(sheet.rows):,} rows"
    if sheet.checked:
        said += f", {len(sheet.checked):,} of them checked by you"
    return f"kalamos.{form}", document, hint_html(said)


def _summary_html(sheet: Sheet) -> str:
    summary = Summary()
    for row in sheet.rows:
        summary.add(row.prediction)
    corrected = sheet.corrected
    parts = [(len(sheet.rows), "images"), (summary.read, "read")]
    others = [
        (sum(row.prediction.abstained for row in sheet.rows), "not sure enough"),
        (summary.failed, "with errors"),
        (corrected, "corrected by you"),
        (len(sheet.checked) - corrected, "checked"),
    ]
    n = sheet.skipped
    skipped = f"skipped {n:,} {'file' if n == 1 else 'files'} without an image extension" if n else ""
    return render("summary", parts=parts + [each for each in others if each[0]], skipped=skipped)


class Found(NamedTuple):
    """An image that was found, not read yet."""

    name: str
    """Of the file, or inside its archive."""
    read: Callable[[], bytes]
    """Raises `ImageError` or `DatasetError`."""


def found_images(files: Sequence[UploadedFile], limits: Limits, stack: ExitStack) -> tuple[list[Found], int]:
    """Find all images of the uploads, in the order in which the command line lists a folder.

    Args:
        files: images, and zip archives of images.
        limits: what one image may have.
        stack: closes the archives, which are read through `Found.read`.

    Returns:
        The images, and how many members of archives were skipped for want of an image extension.

    Raises:
        DatasetError: an archive is damaged, encrypted or unsafe.
        UsageError: no image was found, or more than `MAX_IMAGES`.
    """
    found: list[Found] = []
    skipped = 0
    for name, path in files:
        if PurePosixPath(name).suffix.lower() != ".zip":
            found.append(Found(name, partial(uploaded_bytes, path, name)))
            continue
        source = stack.enter_context(_opened(name, path))
        images = [each for each in source.members if PurePosixPath(each).suffix.lower() in EXTENSIONS]
        skipped += len(source.members) - len(images)
        # Two archives may hold the same names.
        top = f"{PurePosixPath(name).stem}/" if len(files) > 1 else ""
        found += [
            Found(f"{top}{each}", partial(source.read, each, limit=limits.upload_bytes)) for each in images
        ]
    if not found:
        raise UsageError("no image found", remedy=f"looked for {', '.join(sorted(EXTENSIONS))}")
    if len(found) > MAX_IMAGES:
        raise UsageError(
            f"{len(found):,} images are more than the {MAX_IMAGES:,} that fit on a page",
            remedy="give fewer at a time, or use `kalamos predict`, which takes any number",
        )
    return sorted(found, key=lambda each: name_order(each.name)), skipped


def _opened(name: str, path: Path) -> Source:
    try:
        return open_source(path)
    except DatasetError as error:
        # The message names the server's copy, which is nobody's business.
        problem = error.problem.replace(path.as_posix(), name).replace(str(path), name)
        raise DatasetError(problem, remedy=error.remedy) from None


def read_sheet(
    reader: Recognizer,
    model: str,
    files: Sequence[UploadedFile],
    folder: Path,
    limits: Limits,
    options: PredictOptions | None = None,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Sheet:
    """Read uploads as `kalamos predict` reads a folder: one row an image, errors kept.

    Args:
        reader: the model; `model` is what the page calls it.
        files: images and zip archives of images.
        folder: where to keep the images' bytes, so that they can be looked at again.
        limits: bytes and pixels of one image.
        options: how to answer.
        progress: called with how many are done, of how many.

    Raises:
        DatasetError, UsageError: from `found_images`, and for a charset that the model lacks.
    """
    rows: list[Row] = []
    left = MAX_UNPACKED_RATIO * limits.upload_bytes
    with ExitStack() as stack:
        found, skipped = found_images(files, limits, stack)
        for start in range(0, len(found), READ_BATCH_IMAGES):
            outcomes: list[tuple[bytes, GreyImage] | ImageError] = []
            for each in found[start : start + READ_BATCH_IMAGES]:
                outcome = _read_found(each, left, limits, reader.min_decode_pixels)
                left -= 0 if isinstance(outcome, ImageError) else len(outcome[0])
                outcomes.append(outcome)
            # Decoded here and not by the model: the thumbnails need the pixels too.
            greys = [outcome[1] for outcome in outcomes if not isinstance(outcome, ImageError)]
            answers = iter(reader.predict_batch(greys, options))
            for each, outcome in zip(found[start:], outcomes, strict=False):
                if isinstance(outcome, ImageError):
                    rows.append(Row(len(rows), Prediction(None, None, (), each.name, outcome), "", None))
                    continue
                data, grey = outcome
                stored = folder / f"{len(rows):05d}-{os.urandom(4).hex()}"
                stored.write_bytes(data)
                answer = replace(next(answers), path=each.name)
                rows.append(Row(len(rows), answer, data_uri(fit_within(grey, THUMBNAIL_PX)), stored))
            progress(len(rows), len(found))
    return Sheet(model, reader.labels, rows, skipped)


def _read_found(
    found: Found, left: int, limits: Limits, min_decode_pixels: int | None
) -> tuple[bytes, GreyImage] | ImageError:
    try:
        data = found.read()
        if len(data) > left:
            return ImageTooLargeError(
                f"{found.name}: too much for one page together with those before it",
                remedy="read it with the next folder",
            )
        grey = decode_grey(
            data, where=found.name, max_pixels=limits.pixels, min_decode_pixels=min_decode_pixels
        )
    except ImageError as error:
        error.__traceback__ = None  # it holds the image's bytes
        return error
    except DatasetError as error:
        return CorruptImageError(error.problem, remedy=error.remedy)
    else:
        return data, grey


def pages(rows: Sequence[Row]) -> int:
    """Return how many pages of the table the rows fill, at least 1."""
    return max(1, -(-len(rows) // ROWS_PER_PAGE))


def table_html(sheet: Sheet, rows: Sequence[Row], page: int = 1) -> str:
    """Return one page of rows as a table.

    Args:
        sheet: what they belong to.
        rows: a view of it.
        page: from 1; one that does not exist stands for the nearest.
    """
    page = min(max(1, page), pages(rows))
    first = (page - 1) * ROWS_PER_PAGE
    shown = rows[first : first + ROWS_PER_PAGE]
    if not shown:
        return hint_html("No image matches.")
    caption = f"{first + 1:,} to {first + len(shown):,} of {len(rows):,} images"
    return render("table", caption=caption, rows=[_table_row(sheet, row) for row in shown])


def _table_row(sheet: Sheet, row: Row) -> dict[str, Any]:
    """Return what the table shows of a row: the label that counts, or why there is none."""
    prediction, error, checked = row.prediction, row.prediction.error, row.index in sheet.checked
    best = prediction.top[0].label if prediction.top else None
    if error is not None and not checked:
        problem = "no ink" if isinstance(error, NoInkError) else error.summary
    else:
        problem = NOT_A_CHARACTER
    return {
        "thumbnail": row.thumbnail,
        "label": sheet.label(row),
        "guess": None if checked or error is not None else best or "?",
        "doubt": prediction.reason if prediction.reason in {NOT_A_CHARACTER, SEVERAL} else "not sure",
        "problem": problem,
        "failed": error is not None and not checked,
        "corrected": (best or "") if sheet.is_corrected(row) else None,
        "checked": checked,
        "sure": "" if prediction.confidence is None else percent(prediction.confidence),
        "name": display_name(prediction.path or ""),
        # Undecodable bytes of a name are lone surrogates, which no response can carry.
        "error": "" if error is None else str(error).encode("utf-8", "backslashreplace").decode("utf-8"),
    }


def export(sheet: Sheet, format_name: str, *, top_k: int = 5) -> bytes:
    """Return the document that `kalamos predict` writes, with the labels that people gave.

    Once something was checked, there is one more column, the last: `checked`, which is yes or no in CSV, true
    or false in JSON and Parquet. A checked row has the person's label; the confidence and the candidates stay
    the model's. What a person called "not a character" has no label, and that as its error.

    Raises:
        UsageError: unknown format.
        MissingExtraError: the format needs an extra.

    >>> sheet = Sheet("digits", ("1", "7"), [Row(0, Prediction("7", 0.6, path="a.png"), "", None)])
    >>> sheet.checked[0] = "1"
    >>> print(export(sheet, "csv", top_k=1).decode(), end="")
    path,label,confidence,abstained,error,top1,top1_confidence,checked
    a.png,1,0.600000,false,,,,yes
    """
    sink, document = io.BytesIO(), io.BytesIO()
    optional = columns_of([row.prediction for row in sheet.rows])
    add = _ADD.get(format_name) if sheet.checked else None
    with open_writer(
        format_name, sink, labels=sheet.labels, top_k=min(top_k, len(sheet.labels)), columns=optional
    ) as writer:
        document.write(_taken(sink) if add is None else add(_taken(sink), None))
        for row in sheet.rows:
            writer.write(_as_checked(sheet, row))
            part = _taken(sink)
            document.write(part if add is None else add(part, row.index in sheet.checked))
    document.write(_taken(sink))
    if sheet.checked and format_name == "parquet":
        return _with_column(document.getvalue(), [row.index in sheet.checked for row in sheet.rows])
    return document.getvalue()


def _as_checked(sheet: Sheet, row: Row) -> Prediction:
    if row.index not in sheet.checked:
        return row.prediction
    label = sheet.checked[row.index]
    if label is None:
        error = NotACharacterError("not a character: a person looked at it")
        return Prediction(None, None, (), row.prediction.path, error)
    return replace(row.prediction, label=label, abstained=False)


def _taken(sink: io.BytesIO) -> bytes:
    """Take what a writer has written since the last call."""
    part = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return part


def _csv_part(part: bytes, checked: bool | None) -> bytes:
    """Add a cell to the head (None) or to a row of a CSV document."""
    cell = {None: b"checked", True: b"yes", False: b"no"}[checked]
    return part.removesuffix(b"\n") + b"," + cell + b"\n"


def _json_part(part: bytes, checked: bool | None) -> bytes:
    """Add a key to an object of a JSON document; its beginning (None) stays."""
    if checked is None:
        return part
    return part.removesuffix(b"}") + b', "checked": ' + (b"true}" if checked else b"false}")


_ADD = {"csv": _csv_part, "json": _json_part}


def _with_column(document: bytes, checked: list[bool]) -> bytes:
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
    import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]

    sink = io.BytesIO()
    table = pq.read_table(io.BytesIO(document))
    pq.write_table(table.append_column("checked", pa.array(checked, pa.bool_())), sink)
    return sink.getvalue()
