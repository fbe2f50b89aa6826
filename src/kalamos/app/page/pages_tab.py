"""The tab for pages and forms: read, corrected on the picture or field by field, downloaded as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from kalamos.app._gradio import gr
from kalamos.app.page.context import (
    PRIVATE,
    QUIET,
    Context,
    UploadedFile,
    asset_text,
    charset_field,
    confidence_field,
    files_input,
    picture_input,
    saves_file,
)
from kalamos.app.page.corrections import NO_QUESTION, SHOW_QUESTION_JS, build_question, slug
from kalamos.app.page.form_readings import FormsRead
from kalamos.app.page.html import hint_html, problem_html
from kalamos.app.page.page_events import check_fields, correct_boxes, keep_asked
from kalamos.app.page.reading_scans import PICTURES, read_forms, read_pages, scans_of
from kalamos.app.page.session import Session
from kalamos.app.page.shown import (
    NO_VIEW,
    queue_value,
    summary_html,
    text_html,
    view_value,
)
from kalamos.errors import KalamosError
from kalamos.images import EXTENSIONS
from kalamos.inputs.item import NamedImage
from kalamos.pages import PageReader
from kalamos.pages.page import LayoutOption

__all__ = ["build_pages"]

FORM_PREFIX: Final = "form:"
"""Of the choices that are forms, before the form's name."""

LAYOUTS: Final[tuple[tuple[str, LayoutOption], ...]] = (
    ("A page, whatever is on it", "auto"),
    ("Lines of characters", "page"),
    ("One line", "line"),
    ("A grid: a table or a puzzle", "grid"),
)

PAGES_START = hint_html(
    "Drop photographs or scans of whole pages, or of forms. What was read is drawn over the picture; click "
    "what is wrong to put it right."
)

VIEWER_HTML: Final = """
<div class="viewer" hidden>
  <div class="viewer-picture"></div>
  <div class="viewer-side">
    <svg class="viewer-zoom" role="img" aria-label="The selected box, enlarged"></svg>
    <p class="viewer-said" role="status"></p>
    <div class="viewer-candidates" role="group" aria-label="Other readings"></div>
    <label>Type what it is <input type="text" maxlength="64" autocomplete="off" autocapitalize="off"
      spellcheck="false"></label>
    <div class="pad-tools">
      <button type="button" data-do="nothing">Not a character</button>
      <button type="button" data-do="reset">As it was read</button>
    </div>
    <p class="hint">Click a box, or come to one with the Tab key: arrows go from box to box, a key says what
      is there, Delete that it is no character.</p>
  </div>
</div>
"""

QUEUE_HTML: Final = """
<div class="queue" role="group" aria-label="Fields to check" tabindex="-1" hidden>
  <h2 class="queue-title">Fields to check</h2>
  <p class="queue-said" role="status"></p>
  <div class="queue-item">
    <p class="queue-name"><b></b> <span></span></p>
    <img alt="">
    <label>What is written here? <input type="text" maxlength="1000" autocomplete="off" autocapitalize="off"
      spellcheck="false" dir="auto"></label>
    <div class="queue-others" role="group" aria-label="Other readings"></div>
    <p class="problem" role="alert" hidden></p>
  </div>
  <div class="pad-tools">
    <button type="button" data-do="back">← Back</button>
    <button type="button" data-do="accept">Accept</button>
    <button type="button" data-do="on">On →</button>
    <button type="button" data-do="show">Show the whole form</button>
  </div>
  <p class="hint">Enter accepts, typing replaces, ↑ and ↓ go back and on, and so do ← and → until something is
    typed.</p>
</div>
"""


def build_pages(context: Context, page: gr.Blocks) -> None:
    """Build the tab."""
    names = context.forms.names()
    with gr.Row(elem_classes="two"):
        with gr.Column(min_width=280):
            files = files_input(
                file_count="multiple",
                file_types=[*sorted(EXTENSIONS), ".pdf"],
                label="Pages or scanned forms",
                elem_id="page-files",
                height=150,
            )
            with gr.Accordion("Photograph a page", open=False):
                photo = picture_input(
                    sources=["webcam"],
                    label="A photograph of a page",
                    height=300,
                    elem_id="page-photo",
                    webcam_options=gr.WebcamOptions(mirror=False),
                    buttons=[],
                )
        with gr.Column(min_width=280):
            what = gr.Dropdown(
                [*LAYOUTS, *((f"Form: {name}", f"{FORM_PREFIX}{name}") for name in names)],
                value=LAYOUTS[0][1],
                label="What is it?",
                info="The model above reads pages; forms are read as their template says.",
                filterable=False,
                elem_id="page-kind",
            )
            start = gr.Button("Read", variant="primary", elem_id="read-pages")
            with gr.Accordion("Reading options", open=False):
                least = confidence_field(elem_id="page-least", info="Of pages; 0 leaves it to the model.")
                charset = charset_field(
                    placeholder="all; or e.g. digits", info="Of pages.", elem_id="page-charset"
                )
    summary = gr.HTML(PAGES_START, elem_id="page-summary")
    queue = gr.HTML("", html_template=QUEUE_HTML, js_on_load=_script("queue.js"), elem_id="page-queue")
    with gr.Row(elem_classes="tight", visible=False) as table:
        number = gr.Number(1, label="Picture", precision=0, elem_id="page-number", min_width=80, scale=1)
        csv = gr.Button("Download CSV", elem_id="page-csv", min_width=130, scale=1)
        xlsx = gr.Button("Download Excel", elem_id="page-xlsx", min_width=130, scale=1)
    saved = gr.HTML("", elem_id="page-saved")
    viewer = gr.HTML("", html_template=VIEWER_HTML, js_on_load=_script("viewer.js"), elem_id="page-viewer")
    asked = build_question("page", cancel="Only correct it here")
    said = gr.HTML("", elem_id="page-said")
    text = gr.HTML("", elem_id="page-text")

    session, model = context.session, context.model
    everything = [summary, table, number, viewer, text, queue, xlsx, saved, said, *asked.outputs]
    reading = {"show_progress_on": summary, "concurrency_limit": 2, **PRIVATE}
    options = [what, least, charset]
    gr.on(
        [start.click, files.upload],
        partial(_read, context),
        [session, model, files, *options],
        everything,
        **reading,
    )
    photo.input(partial(_read_photo, context), [session, model, photo, *options], everything, **reading)
    # What this visit read before the page was loaded again.
    page.load(_everything, session, everything, **QUIET)
    number.input(_turn_to, [session, number], [number, viewer, text], **QUIET)
    # Of one visit, in the order in which they come: the browser goes on without waiting for the answers.
    in_order = {**QUIET, "trigger_mode": "multiple", "concurrency_limit": 1, "concurrency_id": "corrections"}
    changed = [summary, viewer, text, queue, saved, said, *asked.outputs]
    corrected = viewer.input(partial(correct_boxes, context), [session, viewer], changed, **in_order)
    corrected.then(None, js=SHOW_QUESTION_JS, **QUIET)
    queue.input(partial(check_fields, context), [session, queue], changed, **in_order)
    keep = partial(keep_asked, context)
    asked.keep.click(keep, [session, asked.label], changed, **QUIET)
    asked.nothing.click(partial(keep, nothing=True), session, changed, **QUIET)
    asked.cancel.click(lambda: NO_QUESTION, None, asked.outputs, **QUIET)
    for form, button in (("csv", csv), ("xlsx", xlsx)):
        saves_file(button, f"pages-{form}", partial(_download, form), session, saved)


def _script(name: str) -> str:
    return asset_text("outbox.js") + asset_text(name)


def _read(
    context: Context,
    visit: Session,
    model: str,
    given: list[UploadedFile],
    kind: str,
    least: float,
    charset: str,
    progress: gr.Progress = gr.Progress(),  # noqa: B008  (how Gradio asks for it)
) -> tuple[Any, ...]:
    if not given:
        return _nothing(PAGES_START)

    def on_progress(done: int) -> None:
        progress((done, max(done, len(given))), desc="Reading", unit="pages")

    return _read_scans(context, visit, model, scans_of(given), kind, least, charset, on_progress)


def _read_photo(
    context: Context,
    visit: Session,
    model: str,
    photo: bytes | None,
    kind: str,
    least: float,
    charset: str,
) -> tuple[Any, ...]:
    if photo is None:  # taken away to take another one
        return (gr.skip(),) * len(_nothing(""))
    return _read_scans(context, visit, model, iter([NamedImage("photograph", photo)]), kind, least, charset)


def _read_scans(
    context: Context,
    visit: Session,
    model: str,
    scans: Iterator[NamedImage],
    kind: str,
    least: float,
    charset: str,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[Any, ...]:
    visit.forget_pages()
    try:
        if kind.startswith(FORM_PREFIX):
            name = kind.removeprefix(FORM_PREFIX)
            visit.pages = read_forms(context.forms, name, scans, visit.folder, progress)
        else:
            options = context.options(least, charset)
            reader = PageReader(visit.reader(context.registry, model), options, layout=_layout(kind))
            visit.pages = read_pages(reader, model, scans, visit.folder, progress)
    except KalamosError as error:
        return _nothing(problem_html(error))
    return _everything(visit)


def _layout(kind: str) -> LayoutOption:
    return next((layout for _, layout in LAYOUTS if layout == kind), "auto")


def _nothing(said: str) -> tuple[Any, ...]:
    """Return what is shown where nothing was read."""
    hidden, same = gr.update(visible=False), gr.skip()
    return said, hidden, same, NO_VIEW, "", queue_value(None), same, "", "", *NO_QUESTION


def _everything(visit: Session) -> tuple[Any, ...]:
    """Return all that is shown of what was read."""
    reading = visit.pages
    if reading is None or not reading.views:
        return _nothing(PAGES_START)
    return (
        summary_html(reading),
        gr.update(visible=True),
        *_turn_to(visit, reading.shown + 1),
        queue_value(reading),
        gr.update(visible=isinstance(reading, FormsRead)),
        "",
        "",
        *NO_QUESTION,
    )


def _turn_to(visit: Session, number: float | None) -> tuple[Any, str, str]:
    """Return what is shown of one picture, counted from 1."""
    reading = visit.pages
    if reading is None:
        return gr.skip(), "", ""
    count = len(reading.views)
    reading.shown = int(min(max(1, number or 1), count)) - 1
    shown = gr.update(value=reading.shown + 1, label=f"Picture, of {count:,}", visible=count > 1)
    return shown, view_value(reading, reading.shown), text_html(reading)


def _download(form: str, visit: Session) -> tuple[str, bytes | None, str]:
    reading = visit.pages
    if reading is None:
        return "", None, PAGES_START
    try:
        document = reading.export(form, visit.folder(PICTURES))
    except KalamosError as error:
        return "", None, problem_html(error)
    name = f"{slug(reading.name)}.{form}"
    said = f"{name}: {len(reading.views):,} {'picture' if len(reading.views) == 1 else 'pictures'}"
    if isinstance(reading, FormsRead) and reading.waiting():
        said += f"; {reading.waiting():,} fields still say “check”"
    return name, document, hint_html(said)
