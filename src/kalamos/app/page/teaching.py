"""From what a visit kept to a new model in its switcher."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kalamos.app.page.context import Context
from kalamos.app.page.keeping import corrections_folder, note_origin, shown_path, slug, taught_folder
from kalamos.app.page.session import Session
from kalamos.app.page.words import MIN_EXAMPLES_FOR_PERCENT, correct_of, hint_html
from kalamos.errors import OutputError, UsageError
from kalamos.recognizer import load

if TYPE_CHECKING:
    from kalamos.teaching import Examples, FineTuned
    from kalamos.teaching.score import Score

__all__ = ["Taught", "lesson_html", "taught_file", "teach_visit"]


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
    from kalamos.teaching import fine_tune

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
    from kalamos.corrections import Corrections
    from kalamos.teaching import Examples

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
