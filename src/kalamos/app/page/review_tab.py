"""The Review tab: check the least certain, save corrections, fine-tune.

From what a visit kept to a new model in its switcher.

The tab for checking what was read, and for teaching the model what was learnt by it.
"""

from __future__ import annotations

import base64
import html
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import gradio as gr

from kalamos.app.page.context import Context
from kalamos.app.page.folder_tab import SAVE_FILE_JS
from kalamos.app.page.html import (
    MIN_EXAMPLES_FOR_PERCENT,
    correct_of,
    data_uri,
    fit_within,
    glyph_html,
    hint_html,
    percent,
    problem_html,
)
from kalamos.app.page.model_picker import choices
from kalamos.app.page.read_tab import NO_QUESTION, SHOW_QUESTION_JS, build_question, known_label, question
from kalamos.app.page.session import (
    Review,
    Row,
    SavedExample,
    Session,
    checked_label,
    corrections_folder,
    note_origin,
    save_correction,
    shown_path,
    slug,
    taught_folder,
    undo_correction,
)
from kalamos.errors import KalamosError, OutputError, UsageError
from kalamos.images import decode_grey
from kalamos.images.files import display_name
from kalamos.recognizer import load

if TYPE_CHECKING:
    from kalamos.finetune import Examples, FineTuned, Score

__all__ = ["KEYBOARD_JS", "Taught", "build_checking", "lesson_html", "taught_file", "teach_visit"]


class Taught(NamedTuple):
    """A model that was taught, and the name it goes by in the switcher."""

    name: str
    lesson: FineTuned
    place: str
    """Where its file lies, as the page shows it."""


def teach_visit(
    context: Context,
    visit: Session,
    model: str,
    name: str,
    *,
    earlier: bool,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Taught:
    """Teach the chosen model what was kept, save the new one and put it into the visit's switcher.

    Args:
        name: of the new model; "" names it after the old one.
        earlier: learn from all that lies in the corrections' folder, not from this visit's alone.

    Raises:
        KalamosError: nothing was kept, the name is taken, or the model cannot be taught.
    """
    from kalamos.finetune import fine_tune

    note_origin(context, visit, model)
    examples = _examples(context, visit, model, earlier=earlier)
    folder = taught_folder(context.corrections_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder for taught models cannot be made: {error.strerror}") from None
    name = _free_name(context, visit, model, folder, name.strip())
    file = folder / f"{name}.onnx"
    lesson = fine_tune(visit.reader(context.registry, model), examples, name=name, on_progress=on_progress)
    lesson.save(file)
    if name not in context.registry:  # which lists the folder where only this computer reaches the page
        name = visit.add_model(context.registry, name, load(file))
    visit.taught_from[name], visit.taught = model, file
    return Taught(name, lesson, shown_path(context, file))


def lesson_html(taught: Taught) -> str:
    """What the lesson came to: accuracy before and after, and where the new model lies."""
    lesson = taught.lesson
    name = html.escape(taught.name)
    parts = [
        f'<p class="verdict">Taught <b>{name}</b> from {lesson.n:,} examples. It is now selected above.</p>'
    ]
    if lesson.new_labels:
        labels = " ".join(f"<bdi>{html.escape(label)}</bdi>" for label in lesson.new_labels)
        parts.append(f"<p>New characters: {labels}</p>")
    parts.append(_measured_html(lesson.before, lesson.after))
    if lesson.problems:
        parts.append(f'<p class="hint">{len(lesson.problems):,} examples could not be used.</p>')
    place = f"Saved as {taught.place}, and in the list of models; the old model is as it was."
    parts.append(hint_html(place))
    return f'<div role="status">{"".join(parts)}</div>'


def _measured_html(before: Score, after: Score) -> str:
    """How the held-back examples were read, before and after."""
    if not before.n:
        return hint_html("No example was held back to measure by: that takes 5 or more of a character.")
    counts = [
        ("All", before.known_right + before.new_right, after.known_right + after.new_right, before.n),
        ("Characters it knew", before.known_right, after.known_right, before.known_n),
        ("New characters", before.new_right, after.new_right, before.new_n),
    ]
    if before.n == 1:
        _, old, new, n = counts[0]
        return f"<p>{correct_of(new, n)} held-back example read right; before, {correct_of(old, n)}.</p>"
    body = "".join(
        f'<tr><th scope="row">{title}</th><td>{correct_of(old, n)}</td><td>{correct_of(new, n)}</td></tr>'
        for title, old, new, n in counts
        if n
    )
    head = "<tr><th>Held-back examples</th><th>Right before</th><th>Right after</th></tr>"
    table = f'<table class="lesson"><thead>{head}</thead><tbody>{body}</tbody></table>'
    few = hint_html("Few examples were held back: more of each would measure it better.")
    return table + (few if before.n < MIN_EXAMPLES_FOR_PERCENT else "")


def taught_file(visit: Session) -> tuple[str, str]:
    """The name and the content (Base64) of the model that was taught last; "" for none."""
    if visit.taught is None:
        return "", ""
    return visit.taught.name, base64.b64encode(visit.taught.read_bytes()).decode("ascii")


def _examples(context: Context, visit: Session, model: str, *, earlier: bool) -> Examples:
    from kalamos.finetune import Examples
    from kalamos.finetune.corrections import Corrections

    if earlier:
        all_kept = Corrections(corrections_folder(context, visit, model)).examples()
        if not len(all_kept):
            raise UsageError("nothing was kept on this computer yet", remedy="check some images first")
        return all_kept
    kept = [(each.image, each.label) for each in visit.examples(model) if each.label is not None]
    if not kept:
        raise UsageError(
            "there is nothing to learn from yet", remedy="check a folder, or draw characters and keep them"
        )
    return Examples.of(
        [image.read_bytes() for image, _ in kept], [label for _, label in kept], "checked in the app"
    )


def _free_name(context: Context, visit: Session, model: str, folder: Path, asked: str) -> str:
    taken = {*visit.model_names(context.registry), *(path.stem for path in folder.glob("*.onnx"))}
    if asked:
        name = slug(asked)
        if name in taken:
            raise UsageError(f"there is a model {name!r} already", remedy="choose another name")
        return name
    names = (f"{slug(visit.origin(model))}-taught{f'-{number}' if number > 1 else ''}" for number in count(1))
    return next(name for name in names if name not in taken)


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
