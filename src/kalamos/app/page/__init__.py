"""The page of `kalamos app`, one module a tab.

```
__init__ ─ read_tab, pages_tab, folder_tab, review_tab, alphabet_tab    the tabs
           ├─ reading_scans, readings, form_readings      pages and forms, read and put right
           ├─ shown, box_corrections                      what the browser gets of them, what is kept
           ├─ corrections                      labels asked about, and saved
           ├─ drawn_alphabet                   what is drawn of an alphabet of one's own
           ├─ context                          what the tabs share: looks, fields, the choice of the model
           ├─ session                          all that belongs to one visit
           └─ html                             answers, letter names, pictures
```
"""

from __future__ import annotations

import os
from pathlib import Path

from kalamos.app._gradio import gr
from kalamos.app.batching import ModelRegistry
from kalamos.app.errors import Limits
from kalamos.app.page.alphabet_tab import build_alphabet
from kalamos.app.page.context import (
    PRIVATE,
    Context,
    asset_text,
    build_model_file,
    build_model_picker,
    connect_model_file,
    connect_model_picker,
    page_theme,
)
from kalamos.app.page.corrections import taught_folder
from kalamos.app.page.folder_tab import build_folder
from kalamos.app.page.pages_tab import build_pages
from kalamos.app.page.read_tab import build_inside, build_single
from kalamos.app.page.review_tab import build_checking
from kalamos.app.page.session import Session, TaughtModelRegistry
from kalamos.app.scans import FormRegistry

__all__ = ["build_page", "page_theme"]

PAGE_TITLE_HTML = """<div class="kalamos-head"><h1>kalamos</h1>
<p>Reads handwritten characters. Your images stay on this computer.</p></div>"""


def build_page(
    registry: ModelRegistry,
    limits: Limits | None = None,
    corrections_dir: str | os.PathLike[str] = "corrections",
    *,
    forms: FormRegistry | None = None,
    local: bool = True,
    model_upload: bool | None = None,
) -> gr.Blocks:
    """Build the page: read one character, look inside, read a page or form, read a folder, check and
    teach.

    Visits share nothing but the models. `mount_page` adds the looks and the guards.

    Args:
        registry: the models to choose from.
        limits: the default ones if None.
        corrections_dir: where checked characters and taught models are kept; made when it is needed.
        forms: the forms that scans can be of; None for none.
        local: whether only this computer can reach the page. Then every visit sees the models that lie among
            the taught ones, and where its files are.
        model_upload: whether a visitor may give a model file of their own; None for as `local`. Without,
            the page has no place for one, and no event that takes one.
    """
    limits = limits or Limits()
    known_forms = forms or FormRegistry()
    if local:
        registry = TaughtModelRegistry(registry, taught_folder(corrections_dir))
    page = gr.Blocks(title="kalamos", analytics_enabled=False)
    with page:
        session = gr.State(Session())  # a stand-in for that of the visit
        gr.HTML(PAGE_TITLE_HTML)
        model, about = build_model_picker(registry)
        context = Context(registry, limits, Path(corrections_dir), session, model, known_forms, local)
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap"):
            with gr.Tab("Read one", id="one"):
                build_single(context, page)
            with gr.Tab("Look inside", id="inside") as inside:
                build_inside(context, inside)
            with gr.Tab("Read a page or form", id="pages"):
                build_pages(context, page)
            with gr.Tab("Read a folder", id="folder") as folder:
                build_folder(context, page, folder)
            with gr.Tab("Check and teach", id="check") as checking:
                build_checking(context, checking)
            with gr.Tab("My alphabet", id="alphabet") as alphabet:
                build_alphabet(context, alphabet)
        connect_model_picker(page, context, about)
        if local if model_upload is None else model_upload:
            connect_model_file(context, *build_model_file())
        page.load(None, js=asset_text("review.js"), **PRIVATE)
    return page
