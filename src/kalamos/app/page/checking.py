"""The tab for checking what was read, and for teaching the model what was learnt by it."""

from __future__ import annotations

import html
from collections import Counter
from functools import partial
from typing import Any, Final

import gradio as gr

from kalamos.app.page.asking import NO_QUESTION, SHOW_QUESTION_JS, build_question, known_label, question
from kalamos.app.page.context import Context
from kalamos.app.page.folder import SAVE_FILE_JS
from kalamos.app.page.keeping import save_correction, shown_path, taught_folder, undo_correction
from kalamos.app.page.pictures import data_uri, fit_within
from kalamos.app.page.review import Review, checked_label
from kalamos.app.page.session import SavedExample, Session
from kalamos.app.page.sheet import Row
from kalamos.app.page.switcher import choices
from kalamos.app.page.teaching import lesson_html, taught_file, teach_visit
from kalamos.app.page.words import glyph_html, hint_html, percent, problem_html
from kalamos.errors import KalamosError
from kalamos.images import decode_grey
from kalamos.images.files import display_name

__all__ = ["KEYBOARD_JS", "build_checking"]

REVIEW_PLACE = "review"

MAX_REVIEW_IMAGE_PX = 260
"""The longer side of the image to check, in px."""

REVIEW_START = hint_html("Read a folder first; then check its answers here, the least sure first.")
REVIEW_DONE = hint_html(
    "All checked. Download the checked table under “Read a folder”, or teach the model below."
)

# Typing anything goes into the label, so that one need not reach for the mouse.
KEYBOARD_JS: Final = """() => {
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
    else if (event.key === "Delete") press("#not-character");
    else if (event.key.length === 1 && event.key !== " ") field.focus();
  });
}"""


def build_checking(context: Context, tab: gr.Tab) -> None:
    with gr.Row(elem_classes="two"):
        with gr.Column(min_width=280):
            item = gr.HTML(REVIEW_START, elem_id="item")
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
                accept = gr.Button("Accept", variant="primary", elem_id="accept", min_width=80)
                nothing = gr.Button("Not a character", elem_id="not-character", scale=2, min_width=150)
                undo = gr.Button("Undo", elem_id="undo", min_width=70)
                skip = gr.Button("Skip", elem_id="skip", min_width=70)
            asked = build_question("review")
            kept = gr.HTML(
                hint_html("Keys: Enter accepts, Delete says “not a character”, U undoes, → skips.")
                + hint_html(
                    f"Each label is saved at once, in {shown_path(context, context.corrections_dir)}."
                ),
                elem_id="review-kept",
            )
    place = html.escape(shown_path(context, taught_folder(context.corrections_dir)))
    stay = " and stay in the list of models" if context.local else ""
    gr.HTML(f'<h2>Teach</h2><p class="hint">Taught models are saved in {place}{stay}.</p>')
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
    show = partial(_show_review, context)
    gr.on([tab.select, model.change], show, [session, model], [item, about], **quiet)
    told = [item, about, kept, label, *asked.outputs]
    settled = gr.on(
        [accept.click, label.submit],
        partial(_accept_label, context),
        [session, model, label],
        told,
        **quiet,
    )
    settled.then(None, js=SHOW_QUESTION_JS, **quiet)
    asked.keep.click(partial(_accept_new_label, context), [session, model, asked.label], told, **quiet)
    gr.on(
        [nothing.click, asked.nothing.click],
        partial(_accept_not_character, context),
        [session, model],
        told,
        **quiet,
    )
    asked.cancel.click(lambda: ("", *NO_QUESTION), None, [label, *asked.outputs], **quiet)
    undo.click(partial(_undo_label, context), [session, model], told, **quiet)
    skip.click(partial(_skip_label, context), [session, model], told, **quiet)
    teach.click(
        partial(_teach, context),
        [session, model, name, earlier],
        [lesson, model, save],
        show_progress_on=lesson,
        **private,
    )
    given = save.click(taught_file, session, [file_name, content], **quiet)
    given.then(None, [file_name, content], [file_name, content], js=SAVE_FILE_JS, **quiet)


def _show_review(context: Context, visit: Session, model: str) -> tuple[str, str]:
    return _item_html(visit.review, context.limits.pixels), _examples_html(visit, model)


Told = tuple[Any, ...]
"""What is shown of the item, of the examples and of what was kept, the label's field, and the question."""


def _accept_label(context: Context, visit: Session, model: str, text: str) -> Told:
    """Keep what was typed, or the guess where nothing was; ask where the model has no such label."""
    row = None if visit.review is None else visit.review.current
    if visit.review is None or row is None:
        return *_show_review(context, visit, model), "", text, *NO_QUESTION
    try:
        label = checked_label(text) or row.prediction.top[0].label
        alphabet = visit.reader(context.registry, visit.review.sheet.model).spec.alphabet
        known = known_label(label, alphabet)
        if known is None and label in {kept.label for kept in visit.examples(visit.review.sheet.model)}:
            known = label
    except KalamosError as error:
        return *_show_review(context, visit, model), problem_html(error), text, *NO_QUESTION
    if known is None:
        return *_show_review(context, visit, model), "", text, *question(label, alphabet)
    return _save_review(context, visit, model, known)


def _accept_new_label(context: Context, visit: Session, model: str, text: str) -> Told:
    """Keep a label that the model lacks: it was asked about."""
    try:
        label = checked_label(text)
    except KalamosError as error:
        return *_show_review(context, visit, model), problem_html(error), text, *NO_QUESTION
    if not label:
        return *_show_review(context, visit, model), "", "", *NO_QUESTION
    return _save_review(context, visit, model, label)


def _accept_not_character(context: Context, visit: Session, model: str) -> Told:
    return _save_review(context, visit, model, None)


def _save_review(context: Context, visit: Session, model: str, label: str | None) -> Told:
    """Keep the image that is looked at, with a label or as no character, and go on."""
    review = visit.review
    row = None if review is None else review.current
    if review is None or row is None or row.stored is None:
        return *_show_review(context, visit, model), "", "", *NO_QUESTION
    try:
        save_correction(
            context, visit, REVIEW_PLACE, review.sheet.model, row.stored.read_bytes(), label, row.prediction
        )
    except KalamosError as error:
        return *_show_review(context, visit, model), problem_html(error), label or "", *NO_QUESTION
    review.settle(label, visit.kept[-1])
    said = "Kept as “not a character”." if label is None else f"Kept as {label}."
    return *_show_review(context, visit, model), hint_html(said), "", *NO_QUESTION


def _undo_label(context: Context, visit: Session, model: str) -> Told:
    undone = None if visit.review is None else visit.review.undo()
    said = hint_html("Nothing to undo.")
    if undone is not None:
        said = hint_html("Undone.")
        try:
            undo_correction(context, visit, REVIEW_PLACE, undone)
        except KalamosError as error:
            said = problem_html(error)
    return *_show_review(context, visit, model), said, "", *NO_QUESTION


def _skip_label(context: Context, visit: Session, model: str) -> Told:
    if visit.review is not None:
        visit.review.skip()
    return *_show_review(context, visit, model), "", "", *NO_QUESTION


def _teach(
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
    chosen = gr.update(choices=choices(visit, context.registry), value=taught.name)
    return lesson_html(taught), chosen, gr.update(visible=True)


def _item_html(review: Review[SavedExample] | None, max_pixels: int) -> str:
    if review is None:
        return REVIEW_START
    row = review.current
    if row is None:
        return REVIEW_DONE
    progress = f"{review.position + 1:,} of {len(review.queue):,}"
    return (
        f'<div class="item" data-row="{row.index}">{_review_image(row, max_pixels)}{_guess_html(row)}</div>'
        + (f'<p class="hint">{progress} · {review.settled:,} checked</p>')
    )


def _review_image(row: Row, max_pixels: int) -> str:
    if row.stored is None:
        return ""
    grey = decode_grey(row.stored.read_bytes(), where="the image", max_pixels=max_pixels)
    name = html.escape(display_name(row.prediction.path or ""))
    image = f'<img src="{data_uri(fit_within(grey, MAX_REVIEW_IMAGE_PX))}" alt="{name}">'
    return f"<figure>{image}<figcaption>{name}</figcaption></figure>"


def _guess_html(row: Row) -> str:
    best = row.prediction.top[0]
    return (
        f'<div class="guess">{glyph_html(best.label)}<p>The guess, {percent(best.confidence)} sure</p></div>'
    )


def _examples_html(visit: Session, model: str) -> str:
    kept = visit.examples(model)
    counts = Counter(each.label for each in kept if each.label is not None)
    others = sum(each.label is None for each in kept)
    apart = (
        hint_html(f"Not characters: {others:,}, kept apart; nothing is taught from them.") if others else ""
    )
    if not counts:
        return apart + hint_html(
            "Keep some examples first: check a folder above, or draw characters and keep them. "
            "A new character needs 5 to 20 examples."
        )
    chips = "".join(
        f"<li><bdi>{html.escape(label)}</bdi> × {count}</li>" for label, count in sorted(counts.items())
    )
    return f'<p>Examples from this visit:</p><ul class="chips">{chips}</ul>{apart}'
