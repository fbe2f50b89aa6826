"""The tab for checking what was read, and for teaching the model what was learnt by it."""

from __future__ import annotations

import html
from collections import Counter
from functools import partial
from typing import Any, Final

import gradio as gr

from kalamos.app.page.context import Context
from kalamos.app.page.folder import SAVE
from kalamos.app.page.keeping import keep, unkeep
from kalamos.app.page.pictures import data_uri, shrunk
from kalamos.app.page.review import Review, checked_label
from kalamos.app.page.session import Kept, Session
from kalamos.app.page.sheet import Row
from kalamos.app.page.switcher import choices
from kalamos.app.page.teaching import lesson_html, taught_file, teach_visit
from kalamos.app.page.words import glyph_html, hint_html, per_cent, problem_html
from kalamos.errors import KalamosError
from kalamos.images import decode_grey

__all__ = ["KEYS", "build_checking"]

PLACE = "review"

LARGE = 260
"""The longer side of the image to check, in px."""

START = hint_html("Read a folder first; then check here what was read, the least sure first.")
DONE = hint_html("All looked at. Download the checked table under “Read a folder”, or teach the model below.")

# Typing anything goes into the label, so that one need not reach for the mouse.
KEYS: Final = """() => {
  document.addEventListener("keydown", (event) => {
    const field = document.querySelector("#true-label input, #true-label textarea");
    if (!field || field.offsetParent === null || event.altKey) return;
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (typing && typing !== field) return;
    const press = (id) => { event.preventDefault(); document.querySelector(id)?.click(); };
    const empty = field.value === "";
    const command = event.ctrlKey || event.metaKey;
    if (command) { if (event.key.toLowerCase() === "z" && empty) press("#undo"); return; }
    if (typing) return;
    const pressing = event.target.closest?.("button, a, summary, [role=tab]");
    if (pressing && (event.key === "Enter" || event.key === " ")) return;
    if (event.key === "Enter") press("#accept");
    else if (event.key === "u" || event.key === "U") press("#undo");
    else if (event.key === "ArrowRight") press("#skip");
    else if (event.key.length === 1 && event.key !== " ") field.focus();
  });
}"""


def build_checking(context: Context, tab: gr.Tab) -> None:
    with gr.Row(elem_classes="two"):
        with gr.Column(min_width=280):
            item = gr.HTML(START, elem_id="item")
        with gr.Column(min_width=280):
            label = gr.Textbox(
                label="What is it? (Enter accepts the guess)",
                value="",
                placeholder="Type only if the guess is wrong",
                max_length=64,
                elem_id="true-label",
                html_attributes=gr.InputHTMLAttributes(
                    autocapitalize="off", autocorrect="off", spellcheck=False, autocomplete="off"
                ),
            )
            with gr.Row(elem_classes="tight"):
                accept = gr.Button("Accept", variant="primary", elem_id="accept", min_width=110)
                undo = gr.Button("Undo", elem_id="undo", min_width=90)
                skip = gr.Button("Skip", elem_id="skip", min_width=90)
            kept = gr.HTML(
                hint_html("Keys: Enter accepts, U undoes, → skips. Each label is saved at once."),
                elem_id="review-kept",
            )
    gr.HTML("<h2>Teach</h2>")
    about = gr.HTML(elem_id="examples")
    earlier = gr.Checkbox(
        False, label="Also use what was kept on this computer before", container=False, elem_id="earlier"
    )
    with gr.Row(elem_classes="tight"):
        name = gr.Textbox(
            label="Name of the new model",
            value="",
            placeholder="e.g. my-digits",
            max_length=60,
            elem_id="new-name",
            scale=2,
        )
        teach = gr.Button("Teach", variant="primary", elem_id="teach", scale=1, min_width=110)
    lesson = gr.HTML("", elem_id="lesson")
    save = gr.Button("Download the new model", elem_id="download-model", visible=False)
    file_name = gr.Textbox(visible="hidden", elem_id="model-name")
    content = gr.Textbox(visible="hidden", elem_id="model-content")

    session, model = context.session, context.model
    private: dict[str, Any] = {"api_visibility": "private"}
    quiet: dict[str, Any] = {"show_progress": "hidden", **private}
    show = partial(_show, context)
    gr.on([tab.select, model.change], show, [session, model], [item, about], **quiet)
    gr.on(
        [accept.click, label.submit],
        partial(_settle, context),
        [session, model, label],
        [item, about, kept, label],
        **quiet,
    )
    undo.click(partial(_take_back, context), [session, model], [item, about, kept], **quiet)
    skip.click(partial(_pass_by, context), [session, model], [item, about, kept, label], **quiet)
    teach.click(
        partial(_learn, context),
        [session, model, name, earlier],
        [lesson, model, save],
        show_progress_on=lesson,
        **private,
    )
    told = save.click(taught_file, session, [file_name, content], **quiet)
    told.then(None, [file_name, content], [file_name, content], js=SAVE, **quiet)


def _show(context: Context, visit: Session, model: str) -> tuple[str, str]:
    return _item_html(visit.review, context.limits.pixels), _examples_html(visit, model)


def _settle(context: Context, visit: Session, model: str, text: str) -> tuple[str, str, str, str]:
    review = visit.review
    row = None if review is None else review.current
    if review is None or row is None or row.stored is None:
        return *_show(context, visit, model), "", text
    guess = row.prediction
    try:
        right = checked_label(text) or guess.top[0].label
        keep(context, visit, PLACE, review.sheet.model, row.stored.read_bytes(), right, guess)
    except KalamosError as error:
        return *_show(context, visit, model), problem_html(error), text
    review.settle(right, visit.kept[-1])
    return *_show(context, visit, model), hint_html(f"Kept as {right}."), ""


def _take_back(context: Context, visit: Session, model: str) -> tuple[str, str, str]:
    undone = None if visit.review is None else visit.review.undo()
    told = hint_html("Nothing to undo.")
    if undone is not None:
        told = hint_html("Undone.")
        try:
            unkeep(context, visit, PLACE, undone)
        except KalamosError as error:
            told = problem_html(error)
    return *_show(context, visit, model), told


def _pass_by(context: Context, visit: Session, model: str) -> tuple[str, str, str, str]:
    if visit.review is not None:
        visit.review.skip()
    return *_show(context, visit, model), "", ""


def _learn(
    context: Context,
    visit: Session,
    model: str,
    name: str,
    earlier: bool,
    progress: gr.Progress = gr.Progress(),  # noqa: B008  (how Gradio asks for it)
) -> tuple[str, Any, Any]:
    try:
        taught = teach_visit(
            context,
            visit,
            model,
            name,
            earlier=earlier,
            on_progress=lambda share: progress(share, desc="Learning"),
        )
    except KalamosError as error:
        return problem_html(error), gr.skip(), gr.skip()
    chosen = gr.update(choices=choices(visit, context.shelf), value=taught.name)
    return lesson_html(taught), chosen, gr.update(visible=True)


def _item_html(review: Review[Kept] | None, max_pixels: int) -> str:
    if review is None:
        return START
    row = review.current
    if row is None:
        return DONE
    progress = f"{review.position + 1:,} of {len(review.queue):,}"
    return f'<div class="item" data-row="{row.index}">{_picture(row, max_pixels)}{_guess(row)}</div>' + (
        f'<p class="hint">{progress} · {review.settled:,} checked</p>'
    )


def _picture(row: Row, max_pixels: int) -> str:
    if row.stored is None:
        return ""
    grey = decode_grey(row.stored.read_bytes(), where="the image", max_pixels=max_pixels)
    name = html.escape(row.prediction.path or "")
    image = f'<img src="{data_uri(shrunk(grey, LARGE))}" alt="{name}">'
    return f"<figure>{image}<figcaption>{name}</figcaption></figure>"


def _guess(row: Row) -> str:
    best = row.prediction.top[0]
    return (
        f'<div class="guess">{glyph_html(best.label)}<p>The guess, {per_cent(best.confidence)} sure</p></div>'
    )


def _examples_html(visit: Session, model: str) -> str:
    counts = Counter(kept.label for kept in visit.examples(model))
    if not counts:
        return hint_html(
            "Keep some examples first: check a folder above, or draw characters and keep them. "
            "A new character needs 5 to 20 examples."
        )
    chips = "".join(
        f"<li><bdi>{html.escape(label)}</bdi> × {count}</li>" for label, count in sorted(counts.items())
    )
    return f'<p>Examples from this visit:</p><ul class="chips">{chips}</ul>'
