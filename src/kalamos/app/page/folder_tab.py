"""The Folder tab: upload, read, table, download.

What people drop on the page: image files, and zip archives of them.

Many images read into a `Sheet`, a chunk at a time.

A sheet as an HTML table, a page at a time.

A folder that was read and checked, as a document to download.

The tab for a whole folder: read, look through, download.
"""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.resources import files as files_in
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

import gradio as gr

from kalamos.app.errors import Limits
from kalamos.app.page.context import Context, columns_html
from kalamos.app.page.html import data_uri, fit_within, hint_html, percent, problem_html
from kalamos.app.page.session import CONFIDENCE_BINS, ROW_FILTERS, SORT_ORDERS, Review, Row, Session, Sheet
from kalamos.app.visits import base_name, current_visit
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
from kalamos.images import EXTENSIONS, decode_grey, read_file
from kalamos.images.files import display_name
from kalamos.inputs.files import name_order
from kalamos.predictions import Prediction
from kalamos.preprocessing.steps import GreyImage
from kalamos.recognizer import Recognizer
from kalamos.writers import Summary, open_writer

__all__ = [
    "ROWS_PER_PAGE",
    "SAVE_FILE_JS",
    "UploadedFile",
    "build_folder",
    "export",
    "files_input",
    "pages",
    "picture_input",
    "read_sheet",
    "table_html",
]

MAX_IMAGES = 10_000
"""In one folder. Their table, thumbnails included, has a few MB by then."""

FOLDER_SLASH: Final = "\u2044"
"""What `assets/folder.js` writes for the slashes in the path of a file of a folder: a name has none."""

UploadedFile = tuple[str, Path]
"""A file's own name, and where it lies."""


def files_input(**named: Any) -> gr.File:
    """A `gr.File` whose value is a list of `UploadedFile`.

    `gr.File` itself hands on the names of its copies, and leaves an empty temporary file behind for each.
    """
    component = gr.File(type="filepath", **named)
    # Not a subclass: for each, Gradio writes a stub file beside its source.
    component.preprocess = _uploads  # type: ignore[assignment, method-assign]
    return component


def picture_input(**named: Any) -> gr.Image:
    """A `gr.Image` whose value is the file's bytes: kalamos decodes them itself, within its limits."""
    component = gr.Image(type="filepath", image_mode=None, **named)
    component.preprocess = _picture_bytes  # type: ignore[assignment, method-assign]
    return component


def _uploads(payload: Any) -> list[UploadedFile]:
    given = payload.root if hasattr(payload, "root") else [payload] if payload else []
    # Only a name, which nothing is opened by: so it may have slashes.
    names = [base_name(file.orig_name or Path(file.path).name).replace(FOLDER_SLASH, "/") for file in given]
    return [(name, _own(file.path)) for name, file in zip(names, given, strict=True)]


def _picture_bytes(payload: Any) -> bytes | None:
    return None if payload is None or payload.path is None else read_file(_own(payload.path))


def _own(path: str) -> Path:
    """The path of a file that the visit at hand uploaded; asked again where its bytes are about to be read.

    Raises:
        gradio.Error: it is not, whatever let it come so far.
    """
    visit = current_visit.get()
    own = None if visit is None else visit.own_path(path)
    if own is None:
        raise gr.Error("this file is not one that was uploaded from this browser", print_exception=False)
    return Path(own)


class Found(NamedTuple):
    """An image that was found, not read yet."""

    name: str
    """Of the file, or inside its archive."""
    read: Callable[[], bytes]
    """Raises `ImageError` or `DatasetError`."""


def found_images(files: Sequence[UploadedFile], limits: Limits, stack: ExitStack) -> tuple[list[Found], int]:
    """All images of the uploads, in the order in which the command line lists a folder.

    Args:
        files: images, and zip archives of images.
        limits: what one image may have.
        stack: closes the archives, which are read through `Found.read`.

    Returns:
        The images, and how many members of archives were passed over, as their names are not an image's.

    Raises:
        DatasetError: an archive is damaged, encrypted or unsafe.
        UsageError: there is no image, or more than `MAX_IMAGES`.
    """
    found: list[Found] = []
    skipped = 0
    for name, path in files:
        if PurePosixPath(name).suffix.lower() != ".zip":
            found.append(Found(name, partial(_file_bytes, path, name)))
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


def _file_bytes(path: Path, name: str) -> bytes:
    try:
        return read_file(path)
    except ImageError as error:
        raise type(error)(error.problem.replace(str(path), name), remedy=error.remedy) from None


READ_BATCH_IMAGES = 64
THUMBNAIL_PX = 40
"""In px."""

MAX_UNPACKED_RATIO = 10
"""All images together may have so many times the bytes that may be uploaded at once."""


def read_sheet(
    reader: Recognizer,
    model: str,
    files: Sequence[UploadedFile],
    folder: Path,
    limits: Limits,
    *,
    min_confidence: float | None = None,
    charset: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Sheet:
    """Read uploads as `kalamos predict` reads a folder: one row an image, errors kept.

    Args:
        reader: the model; `model` is what the page calls it.
        files: images and zip archives of images.
        folder: where to keep the images' bytes, so that they can be looked at again.
        limits: bytes and pixels of one image.
        min_confidence, charset: as for `Recognizer.predict`.
        progress: told how many are done, of how many.

    Raises:
        DatasetError, UsageError: from `found_images`, and for a charset that the model lacks.
    """
    rows: list[Row] = []
    left = MAX_UNPACKED_RATIO * limits.upload_bytes
    with ExitStack() as stack:
        found, skipped = found_images(files, limits, stack)
        for start in range(0, len(found), READ_BATCH_IMAGES):
            chunk = found[start : start + READ_BATCH_IMAGES]
            read: list[tuple[bytes, GreyImage] | ImageError] = []
            for each in chunk:
                outcome = _read_found(each, left, limits, reader.min_decode_pixels)
                left -= 0 if isinstance(outcome, ImageError) else len(outcome[0])
                read.append(outcome)
            greys = [outcome[1] for outcome in read if not isinstance(outcome, ImageError)]
            answers = iter(reader.predict_batch(greys, min_confidence=min_confidence, charset=charset))
            for each, outcome in zip(chunk, read, strict=True):
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


ROWS_PER_PAGE = 100


def pages(rows: Sequence[Row]) -> int:
    """How many pages the rows fill, at least 1."""
    return max(1, -(-len(rows) // ROWS_PER_PAGE))


def table_html(sheet: Sheet, rows: Sequence[Row], page: int = 1) -> str:
    """One page of rows.

    Args:
        sheet: what they belong to.
        rows: a view of it.
        page: from 1; one that there is not is taken for the nearest.
    """
    page = min(max(1, page), pages(rows))
    shown = rows[(page - 1) * ROWS_PER_PAGE : page * ROWS_PER_PAGE]
    if not shown:
        return '<p class="hint">No image matches.</p>'
    body = "".join(_row_html(sheet, row) for row in shown)
    first = (page - 1) * ROWS_PER_PAGE + 1
    caption = f"{first:,} to {first + len(shown) - 1:,} of {len(rows):,} images"
    return (
        f'<div class="sheet"><table><caption>{caption}</caption>'
        "<thead><tr><th>Image</th><th>Character</th><th>Sure</th><th>File</th></tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _row_html(sheet: Sheet, row: Row) -> str:
    prediction = row.prediction
    picture = f'<img src="{row.thumbnail}" alt="" loading="lazy">' if row.thumbnail else ""
    sure = "" if prediction.confidence is None else percent(prediction.confidence)
    answer = _label_html(sheet, row)
    if sheet.is_corrected(row):
        guess = f"<bdi>{html.escape(prediction.top[0].label)}</bdi>" if prediction.top else "nothing"
        answer += f' <span class="tag done">corrected</span> <small>the model read {guess}</small>'
    elif row.index in sheet.checked:
        answer += ' <span class="tag done">checked</span>'
    name = f"<bdi>{html.escape(display_name(prediction.path or ''))}</bdi>"
    if prediction.error is not None:
        name += f"<br><small>{html.escape(_printable(str(prediction.error)))}</small>"
    return f"<tr><td>{picture}</td><td>{answer}</td><td>{sure}</td><td>{name}</td></tr>"


def _label_html(sheet: Sheet, row: Row) -> str:
    """The label that counts, or why there is none."""
    prediction, label = row.prediction, sheet.label(row)
    if label is not None:
        return f'<bdi class="label">{html.escape(label)}</bdi>'
    if row.index in sheet.checked:
        return '<span class="tag">not a character</span>'
    if prediction.error is not None:
        summary = "no ink" if isinstance(prediction.error, NoInkError) else prediction.error.summary
        return f'<span class="tag error">{html.escape(summary)}</span>'
    best = prediction.top[0].label if prediction.top else "?"
    return f'<span class="tag">not sure: <bdi>{html.escape(best)}</bdi>?</span>'


def _printable(text: str) -> str:
    # Undecodable bytes of a name are lone surrogates, which no response can carry.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def export(sheet: Sheet, format_name: str, *, top_k: int = 5) -> bytes:
    """The document that `kalamos predict` writes, with the labels that people gave.

    Once something was checked, there is one more column, the last: `checked`, which is yes or no in CSV, true
    or false in JSON and Parquet. A checked row has the person's label; the confidence and the candidates stay
    the model's. What a person called "not a character" has no label, and that as its error.

    Raises:
        UsageError: there is no such format.
        MissingExtraError: the format needs an extra.

    >>> sheet = Sheet("digits", ("1", "7"), [Row(0, Prediction("7", 0.6, path="a.png"), "", None)])
    >>> sheet.checked[0] = "1"
    >>> print(export(sheet, "csv", top_k=1).decode(), end="")
    path,label,confidence,abstained,error,top1,top1_confidence,checked
    a.png,1,0.600000,false,,,,yes
    """
    sink, document = io.BytesIO(), io.BytesIO()
    restricted = any(row.prediction.removed is not None for row in sheet.rows)
    add = _ADD.get(format_name) if sheet.checked else None
    with open_writer(
        format_name, sink, labels=sheet.labels, top_k=min(top_k, len(sheet.labels)), removed=restricted
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
    """What a writer has written since the last call."""
    part = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return part


def _csv_part(part: bytes, checked: bool | None) -> bytes:
    """The head (None) or a row of a CSV document, with one cell more."""
    cell = {None: b"checked", True: b"yes", False: b"no"}[checked]
    return part.removesuffix(b"\n") + b"," + cell + b"\n"


def _json_part(part: bytes, checked: bool | None) -> bytes:
    """The beginning (None) or an object of a JSON document, with one key more."""
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


DOWNLOAD_FORMATS: Final = {"CSV": "csv", "JSON": "json", "Parquet": "parquet"}

MAX_BARS = 60
"""Labels in the plot; the rarest of a large alphabet are left out."""

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

SAVE_FILE_JS: Final = """(name, content) => {
  if (!content) return [name, content];
  const link = document.createElement("a");
  link.href = "data:application/octet-stream;base64," + content;
  link.download = name;
  link.click();
  return [name, ""];
}"""
"""Saves what an event put into two hidden fields: no file of results ever lies on the server."""


def build_folder(context: Context, whole: gr.Blocks, tab: gr.Tab) -> None:
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
        js_on_load=(files_in("kalamos.app") / "assets" / "folder.js").read_text(encoding="utf-8"),
        endings=sorted(EXTENSIONS),
        elem_id="choose-folder",
    )
    with gr.Row(elem_classes="tight"):
        start = gr.Button("Read them", variant="primary", elem_id="read-files", min_width=140, scale=1)
        charset = gr.Textbox(
            label="Only these characters",
            value="",
            placeholder="all; or e.g. digits",
            max_length=400,
            elem_id="folder-charset",
            scale=2,
            min_width=140,
        )
        least = gr.Slider(
            0,
            0.99,
            value=0,
            step=0.01,
            label="Minimum confidence",
            elem_id="folder-least",
            scale=2,
            min_width=160,
        )
    summary = gr.HTML(FOLDER_START, elem_id="summary")
    with gr.Column(visible=False) as results:
        with gr.Row(elem_classes="tight"):
            order = gr.Dropdown(
                list(SORT_ORDERS), value=SORT_ORDERS[0], label="Order", elem_id="order", min_width=140
            )
            shown = gr.Dropdown(
                list(ROW_FILTERS), value=ROW_FILTERS[0], label="Show", elem_id="shown", min_width=140
            )
            label = gr.Dropdown(
                [("Any", "")], value="", label="Character", elem_id="only-label", min_width=110
            )
            page = gr.Number(1, label="Page", precision=0, elem_id="page", min_width=80)
        table = gr.HTML("", elem_id="table")
        with gr.Row(elem_classes="tight"):
            buttons = {
                name: gr.Button(f"Download {name}", elem_id=f"download-{form}", min_width=130)
                for name, form in DOWNLOAD_FORMATS.items()
            }
        saved = gr.HTML("", elem_id="saved")
        with gr.Row():
            labels_plot = gr.HTML("", elem_id="labels-plot", min_width=280)
            confidence_plot = gr.HTML("", elem_id="confidence-plot", min_width=280)
    file_name = gr.Textbox(visible="hidden", elem_id="file-name")
    content = gr.Textbox(visible="hidden", elem_id="file-content")

    session = context.session
    private: dict[str, Any] = {"api_visibility": "private"}
    quiet: dict[str, Any] = {"show_progress": "hidden", **private}
    gr.on(
        [start.click, files.upload],
        partial(_read_folder, context),
        [session, context.model, files, least, charset],
        [summary, results, label, table, page, labels_plot, confidence_plot],
        show_progress_on=summary,
        concurrency_limit=2,
        **private,
    )
    gr.on(
        [order.input, shown.input, label.input],
        _folder_page,
        [session, order, shown, label],
        [table, page],
        **quiet,
    )
    page.input(_folder_page, [session, order, shown, label, page], [table, page], **quiet)
    # What was corrected meanwhile under "Check and teach" shows at once.
    tab.select(
        _folder_view,
        [session, order, shown, label, page],
        [summary, results, label, table, page, labels_plot, confidence_plot],
        **quiet,
    )
    # And what this visit read before the page was loaded again.
    whole.load(
        _folder_view, session, [summary, results, label, table, page, labels_plot, confidence_plot], **quiet
    )
    for name, form in DOWNLOAD_FORMATS.items():
        told = buttons[name].click(partial(_download, form), session, [file_name, content, saved], **quiet)
        told.then(None, [file_name, content], [file_name, content], js=SAVE_FILE_JS, **quiet)


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
    nothing = (gr.update(visible=False), *[gr.skip()] * 5)
    if not given:
        return FOLDER_START, *nothing
    try:
        sheet = read_sheet(
            visit.reader(context.registry, model),
            model,
            given,
            visit.folder("sheet"),
            context.limits,
            min_confidence=least or None,
            charset=charset.strip() or None,
            progress=lambda done, total: progress((done, total), desc="Reading", unit="images"),
        )
    except KalamosError as error:
        return problem_html(error), *nothing
    visit.sheet, visit.review = sheet, Review(sheet)
    return _folder_view(visit)


def _folder_view(
    visit: Session,
    order: str = SORT_ORDERS[0],
    shown: str = ROW_FILTERS[0],
    label: str | None = "",
    page: float | None = 1,
) -> tuple[Any, ...]:
    """All that is shown of the folder, with what people said of it since it was read."""
    sheet = visit.sheet
    if sheet is None:
        return FOLDER_START, gr.update(visible=False), *[gr.skip()] * 5
    counts = sheet.counts()
    label = label if label in counts else ""
    found = [("Any", ""), *((f"{each} ({count:,})", each) for each, count in counts.items())]
    return (
        _summary_html(sheet),
        gr.update(visible=True),
        gr.update(choices=found, value=label),
        *_folder_page(visit, order, shown, label, page),
        _labels_plot(sheet),
        _confidence_plot(sheet),
    )


def _folder_page(
    visit: Session,
    order: str = SORT_ORDERS[0],
    shown: str = ROW_FILTERS[0],
    label: str | None = "",
    page: float | None = 1,
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


def _download(form: str, visit: Session) -> tuple[str, str, str]:
    if visit.sheet is None:
        return "", "", FOLDER_START
    try:
        document = export(visit.sheet, form)
    except KalamosError as error:
        return "", "", problem_html(error)
    told = f"kalamos.{form}: {len(visit.sheet.rows):,} rows"
    if visit.sheet.checked:
        told += f", {len(visit.sheet.checked):,} of them checked by you"
    return f"kalamos.{form}", base64.b64encode(document).decode("ascii"), hint_html(told)


def _summary_html(sheet: Sheet) -> str:
    summary = Summary()
    for row in sheet.rows:
        summary.add(row.prediction)
    parts = [f"<b>{len(sheet.rows):,}</b> images", f"<b>{summary.read:,}</b> read"]
    abstained = sum(row.prediction.abstained for row in sheet.rows)
    parts += [f"<b>{abstained:,}</b> not sure enough"] if abstained else []
    parts += [f"<b>{summary.failed:,}</b> with errors"] if summary.failed else []
    corrected, others = sheet.corrected, len(sheet.checked) - sheet.corrected
    parts += [f"<b>{corrected:,}</b> corrected by you"] if corrected else []
    parts += [f"<b>{others:,}</b> checked"] if others else []
    parts += [_skipped_text(sheet.skipped)] if sheet.skipped else []
    return f'<p class="verdict" role="status">{" · ".join(parts)}</p>'


def _skipped_text(count: int) -> str:
    return f"skipped {count:,} {'file' if count == 1 else 'files'} without an image extension"


def _labels_plot(sheet: Sheet) -> str:
    most = sorted(list(sheet.counts().items())[:MAX_BARS])
    return columns_html(
        "How often each occurs, as corrected" if sheet.corrected else "How often each was read", dict(most)
    )


def _confidence_plot(sheet: Sheet) -> str:
    bins = {f"{100 * each // CONFIDENCE_BINS} %": count for each, count in enumerate(sheet.histogram())}
    return columns_html("How sure the model was, from", bins)
