"""The tab for a whole folder: read, look through, download."""

from __future__ import annotations

import base64
from functools import partial
from typing import Any, Final

import gradio as gr

from kalamos.app.page.context import Context
from kalamos.app.page.reading import read_sheet
from kalamos.app.page.review import Review
from kalamos.app.page.session import Session
from kalamos.app.page.sheet import BINS, ORDERS, SHOWN, Sheet
from kalamos.app.page.table import pages, table_html
from kalamos.app.page.uploads import Upload, files_input
from kalamos.app.page.words import hint_html, problem_html
from kalamos.errors import KalamosError
from kalamos.images import EXTENSIONS
from kalamos.writers import Summary

__all__ = ["SAVE", "build_folder"]

FORMATS: Final = {"CSV": "csv", "JSON": "json", "Parquet": "parquet"}

MOST_BARS = 60
"""Labels in the plot; the rarest of a large alphabet are left out."""

START = hint_html(
    "Drop images, or a zip of a folder of them. Every image becomes a row, whatever is wrong with it."
)

SAVE: Final = """(name, content) => {
  if (!content) return [name, content];
  const link = document.createElement("a");
  link.href = "data:application/octet-stream;base64," + content;
  link.download = name;
  link.click();
  return [name, ""];
}"""
"""Saves what an event put into two hidden fields: no file of results ever lies on the server."""


def build_folder(context: Context) -> None:
    files = files_input(
        file_count="multiple",
        file_types=[*sorted(EXTENSIONS), ".zip"],
        label="Images, or a zip of them",
        elem_id="files",
        height=150,
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
            label="Least confidence",
            elem_id="folder-least",
            scale=2,
            min_width=160,
        )
    summary = gr.HTML(START, elem_id="summary")
    with gr.Column(visible=False) as results:
        with gr.Row(elem_classes="tight"):
            order = gr.Dropdown(list(ORDERS), value=ORDERS[0], label="Order", elem_id="order", min_width=140)
            shown = gr.Dropdown(list(SHOWN), value=SHOWN[0], label="Show", elem_id="shown", min_width=140)
            label = gr.Dropdown(
                [("Any", "")], value="", label="Character", elem_id="only-label", min_width=110
            )
            page = gr.Number(1, label="Page", minimum=1, precision=0, elem_id="page", min_width=80)
        table = gr.HTML("", elem_id="table")
        with gr.Row(elem_classes="tight"):
            buttons = {
                name: gr.Button(f"Download {name}", elem_id=f"download-{form}", min_width=130)
                for name, form in FORMATS.items()
            }
        saved = gr.HTML("", elem_id="saved")
        with gr.Row():
            labels_plot = _plot("character", "How often each was read", "labels-plot")
            confidence_plot = _plot("confidence", "How sure the model was, from", "confidence-plot")
    file_name = gr.Textbox(visible="hidden", elem_id="file-name")
    content = gr.Textbox(visible="hidden", elem_id="file-content")

    session = context.session
    private: dict[str, Any] = {"api_visibility": "private"}
    quiet: dict[str, Any] = {"show_progress": "hidden", **private}
    gr.on(
        [start.click, files.upload],
        partial(_read, context),
        [session, context.model, files, least, charset],
        [summary, results, label, table, page, labels_plot, confidence_plot],
        show_progress_on=summary,
        concurrency_limit=2,
        **private,
    )
    gr.on(
        [order.input, shown.input, label.input], _show, [session, order, shown, label], [table, page], **quiet
    )
    page.input(_show, [session, order, shown, label, page], [table, page], **quiet)
    for name, form in FORMATS.items():
        told = buttons[name].click(partial(_export, form), session, [file_name, content, saved], **quiet)
        told.then(None, [file_name, content], [file_name, content], js=SAVE, **quiet)


def _read(
    context: Context,
    visit: Session,
    model: str,
    given: list[Upload],
    least: float,
    charset: str,
    progress: gr.Progress = gr.Progress(),  # noqa: B008  (how Gradio asks for it)
) -> tuple[Any, ...]:
    visit.forget_sheet()
    nothing = (gr.update(visible=False), *[gr.skip()] * 5)
    if not given:
        return START, *nothing
    try:
        sheet = read_sheet(
            visit.reader(context.shelf, model),
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
    found = [("Any", ""), *((f"{label} ({count:,})", label) for label, count in sheet.counts().items())]
    return (
        _summary_html(sheet),
        gr.update(visible=True),
        gr.update(choices=found, value=""),
        *_show(visit),
        _labels_frame(sheet),
        _confidence_frame(sheet),
    )


def _show(
    visit: Session,
    order: str = ORDERS[0],
    shown: str = SHOWN[0],
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
    at = min(max(1, int(page or 1)), last)
    return table_html(visit.sheet, rows, at), gr.update(label=f"Page, of {last}", maximum=last, value=at)


def _export(form: str, visit: Session) -> tuple[str, str, str]:
    if visit.sheet is None:
        return "", "", START
    try:
        document = visit.sheet.export(form)
    except KalamosError as error:
        return "", "", problem_html(error)
    told = f"kalamos.{form}: {len(visit.sheet.rows):,} rows"
    if visit.sheet.checked:
        told += f", {len(visit.sheet.checked):,} of them checked by you"
    return f"kalamos.{form}", base64.b64encode(document).decode("ascii"), hint_html(told)


def _plot(over: str, title: str, name: str) -> gr.BarPlot:
    return gr.BarPlot(
        x=over,
        y="images",
        title=title,
        x_title=" ",
        y_title=" ",
        y_lim=[0, None],
        height=240,
        min_width=280,
        buttons=[],
        elem_id=name,
    )


def _summary_html(sheet: Sheet) -> str:
    summary = Summary()
    for row in sheet.rows:
        summary.add(row.prediction)
    parts = [f"<b>{len(sheet.rows):,}</b> images", f"<b>{summary.read:,}</b> read"]
    abstained = sum(row.prediction.abstained for row in sheet.rows)
    parts += [f"<b>{abstained:,}</b> not sure enough"] if abstained else []
    parts += [f"<b>{summary.failed:,}</b> with errors"] if summary.failed else []
    parts += [f"{sheet.skipped:,} other files passed over"] if sheet.skipped else []
    return f'<p class="verdict" role="status">{" · ".join(parts)}</p>'


def _labels_frame(sheet: Sheet) -> Any:
    counts = list(sheet.counts().items())[:MOST_BARS]
    return _frame(character=[label for label, _ in counts], images=[count for _, count in counts])


def _confidence_frame(sheet: Sheet) -> Any:
    return _frame(confidence=[f"{100 * each // BINS} %" for each in range(BINS)], images=sheet.histogram())


def _frame(**columns: list[Any]) -> Any:
    import pandas as pd  # type: ignore[import-untyped]

    return pd.DataFrame(columns)
