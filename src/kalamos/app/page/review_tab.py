"""The tab for checking what was read, and for teaching the model from what was checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kalamos.app._gradio import gr
from kalamos.app.page.context import PRIVATE, QUIET, Context, choices, saves_file
from kalamos.app.page.corrections import (
    NO_QUESTION,
    SHOW_QUESTION_JS,
    accepted_label,
    build_question,
    corrections_folder,
    note_origin,
    question,
    save_correction,
    shown_path,
    slug,
    taught_folder,
    undo_correction,
)
from kalamos.app.page.html import (
    MIN_EXAMPLES_FOR_PERCENT,
    correct_of,
    data_uri,
    fit_within,
    glyph_html,
    hint_html,
    percent,
    problem_html,
    render,
)
from kalamos.app.page.session import Review, Session
from kalamos.errors import KalamosError, OutputError, UsageError
from kalamos.images import decode_grey
from kalamos.images.files import display_name
from kalamos.recognizer import load

if TYPE_CHECKING:
    from kalamos.finetune import Examples, FineTuned

__all__ = ["Taught", "build_checking", "lesson_html", "taught_file", "teach_visit"]


REVIEW_PLACE = "review"

MAX_REVIEW_IMAGE_PX = 260
"""The longer side of the image to check."""

REVIEW_START = hint_html("Read a folder first; then check its answers here, the least sure first.")
REVIEW_DONE = hint_html(
    "All checked. Download the checked table under “Read a folder”, or teach the model below."
)

Shown = tuple[Any, ...]
"""What is shown of the item, of the examples and of what was kept, the label's field, and the question."""


def build_checking(context: Context, tab: gr.Tab) -> None:
    """Build the tab."""
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
    stay = " and stay in the list of models" if context.local else ""
    place = shown_path(context, taught_folder(context.corrections_dir))
    gr.HTML("<h2>Teach</h2>" + hint_html(f"Taught models are saved in {place}{stay}."))
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

    session, model = context.session, context.model
    reviewed = [session, model]
    gr.on([tab.select, model.change], partial(_show_review, context), reviewed, [item, about], **QUIET)
    shown = [item, about, kept, label, *asked.outputs]
    check, save_as = partial(_accept_label, context), partial(_save_review, context)
    settled = gr.on([accept.click, label.submit], check, [*reviewed, label], shown, **QUIET)
    settled.then(None, js=SHOW_QUESTION_JS, **QUIET)
    asked.keep.click(partial(check, asked=True), [*reviewed, asked.label], shown, **QUIET)
    gr.on([nothing.click, asked.nothing.click], partial(save_as, label=None), reviewed, shown, **QUIET)
    asked.cancel.click(lambda: ("", *NO_QUESTION), None, [label, *asked.outputs], **QUIET)
    undo.click(partial(_undo_label, context), reviewed, shown, **QUIET)
    skip.click(partial(_skip_label, context), reviewed, shown, **QUIET)
    teach.click(
        partial(_teach, context),
        [session, model, name, earlier],
        [lesson, model, save],
        show_progress_on=lesson,
        **PRIVATE,
    )
    saves_file(save, "model", taught_file, session)


def _show_review(context: Context, visit: Session, model: str) -> tuple[str, str]:
    return _item_html(visit.review, context.limits.pixels), _kept_html(visit, model)


def _shown(context: Context, visit: Session, model: str, said: str = "", text: str = "") -> Shown:
    """Return what is shown when nothing is asked: `said` of what was kept, `text` in the label's field."""
    return *_show_review(context, visit, model), said, text, *NO_QUESTION


def _accept_label(context: Context, visit: Session, model: str, text: str, *, asked: bool = False) -> Shown:
    """Keep what was typed, or the guess if nothing was; ask first about a label that the model lacks."""
    review = visit.review
    row = None if review is None else review.current
    if review is None or row is None:
        return _shown(context, visit, model, text=text)
    if asked and not text:
        return _shown(context, visit, model)
    try:
        typed = text or row.prediction.top[0].label
        label, lacking = accepted_label(context, visit, review.sheet.model, typed, asked=asked)
    except KalamosError as error:
        return _shown(context, visit, model, problem_html(error), text)
    if lacking is not None:
        return *_show_review(context, visit, model), "", text, *question(label, lacking)
    return _save_review(context, visit, model, label)


def _save_review(context: Context, visit: Session, model: str, label: str | None) -> Shown:
    """Keep the image under review, with a label or as no character, and go on."""
    review = visit.review
    row = None if review is None else review.current
    if review is None or row is None or row.stored is None:
        return _shown(context, visit, model)
    try:
        image = row.stored.read_bytes()
        save_correction(context, visit, REVIEW_PLACE, review.sheet.model, image, label, row.prediction)
    except KalamosError as error:
        return _shown(context, visit, model, problem_html(error), label or "")
    review.settle(label, visit.kept[-1])
    what = "“not a character”" if label is None else label
    return _shown(context, visit, model, hint_html(f"Kept as {what}."))


def _undo_label(context: Context, visit: Session, model: str) -> Shown:
    undone = None if visit.review is None else visit.review.undo()
    if undone is None:
        return _shown(context, visit, model, hint_html("Nothing to undo."))
    try:
        undo_correction(context, visit, REVIEW_PLACE, undone)
    except KalamosError as error:
        return _shown(context, visit, model, problem_html(error))
    return _shown(context, visit, model, hint_html("Undone."))


def _skip_label(context: Context, visit: Session, model: str) -> Shown:
    if visit.review is not None:
        visit.review.skip()
    return _shown(context, visit, model)


def _teach(
    context: Context,
    visit: Session,
    model: str,
    name: str,
    earlier: bool,
    progress: gr.Progress = gr.Progress(),  # noqa: B008  (how Gradio asks for it)
) -> tuple[str, Any, Any]:
    def on_progress(share: float) -> None:
        progress(share, desc="Learning")

    try:
        taught = teach_visit(context, visit, model, name, earlier=earlier, on_progress=on_progress)
    except KalamosError as error:
        return problem_html(error), gr.skip(), gr.skip()
    chosen = gr.update(choices=choices(visit, context.registry), value=taught.name)
    return lesson_html(taught), chosen, gr.update(visible=True)


def _item_html(review: Review | None, max_pixels: int) -> str:
    if review is None:
        return REVIEW_START
    row = review.current
    if row is None:
        return REVIEW_DONE
    uri, best = "", row.prediction.top[0]
    if row.stored is not None:
        grey = decode_grey(row.stored.read_bytes(), where="the image", max_pixels=max_pixels)
        uri = data_uri(fit_within(grey, MAX_REVIEW_IMAGE_PX))
    return render(
        "review_item",
        row=row.index,
        uri=uri,
        name=display_name(row.prediction.path or ""),
        glyph=glyph_html(best.label),
        sure=percent(best.confidence),
        progress=f"{review.position + 1:,} of {len(review.queue):,} · {review.settled:,} checked",
    )


def _kept_html(visit: Session, model: str) -> str:
    labels = [each.label for each in visit.examples(model)]
    counts = Counter(label for label in labels if label is not None)
    return render("kept_examples", counts=sorted(counts.items()), others=labels.count(None))


class Taught(NamedTuple):
    """A model that was taught, and its name in the list of models."""

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
    """Teach the chosen model what was kept, save the new one and add it to the visit's models.

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
    # What is corrected has been misread, and is of the class that the person says.
    lesson = fine_tune(
        visit.reader(context.registry, model), examples, name=name, existing="same", on_progress=on_progress
    )
    lesson.save(file)
    if name not in context.registry:  # which lists the folder where only this computer reaches the page
        name = visit.add_model(context.registry, name, load(file))
    visit.taught_from[name], visit.taught = model, file
    return Taught(name, lesson, shown_path(context, file))


def lesson_html(taught: Taught) -> str:
    """Return what the lesson came to: accuracy before and after, and where the new model lies."""
    lesson = taught.lesson
    return render(
        "taught",
        name=taught.name,
        examples=f"{lesson.n:,}",
        new_labels=lesson.new_labels,
        held_back=_held_back(lesson),
        unused=len(lesson.problems),
        place=taught.place,
    )


def _held_back(lesson: FineTuned) -> dict[str, Any] | None:
    """Return how the held-back examples were read, before and after; None if there are none."""
    before, after = lesson.before, lesson.after
    if not before.n:
        return None
    counts = [
        ("All", before.known_right + before.new_right, after.known_right + after.new_right, before.n),
        ("Characters it knew", before.known_right, after.known_right, before.known_n),
        ("New characters", before.new_right, after.new_right, before.new_n),
    ]
    rows = [(title, correct_of(old, n), correct_of(new, n)) for title, old, new, n in counts if n]
    return {"rows": rows, "single": before.n == 1, "few": before.n < MIN_EXAMPLES_FOR_PERCENT}


def taught_file(visit: Session) -> tuple[str, bytes | None]:
    """Return the name and the content of the model that was taught last; "" and None for none."""
    return ("", None) if visit.taught is None else (visit.taught.name, visit.taught.read_bytes())


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
