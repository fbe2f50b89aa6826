"""The tab for a whole folder: read, look through, download."""

from __future__ import annotations

import base64
from functools import partial
from importlib.resources import files as files_in
from typing import Any, Final

import gradio as gr

from kalamos.app.page.context import Context
from kalamos.app.page.exporting import export
from kalamos.app.page.plots import columns_html
from kalamos.app.page.reading import read_sheet
from kalamos.app.page.review import Review
from kalamos.app.page.session import Session
from kalamos.app.page.sheet import CONFIDENCE_BINS, ROW_FILTERS, SORT_ORDERS, Sheet
from kalamos.app.page.table import pages, table_html
from kalamos.app.page.uploads import UploadedFile, files_input
from kalamos.app.page.words import hint_html, problem_html
from kalamos.errors import KalamosError
from kalamos.images import EXTENSIONS
from kalamos.writers import Summary

__all__ = ["SAVE_FILE_JS", "build_folder"]

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
