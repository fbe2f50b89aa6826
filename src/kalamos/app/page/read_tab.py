"""The Read tab: draw, photograph or upload one image.

A pad to draw on.

Gradio's own Sketchpad draws with WebGL: with a software renderer on two busy cores it took 19 seconds until
one could draw, and what it uploads of a stroke that another follows stays in the server's memory. A character
needs one pen, so this is a plain canvas.

Asking before a label is kept that the model does not have: a slip would become a class of its own.

Pictures to try the page with, which ship with it: drawn by `samples/make_samples.py`.

The tab for one character: drawn, uploaded, pasted or photographed.
"""

from __future__ import annotations

import base64
import binascii
import html
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from typing import Any, Final, NamedTuple

import cv2
import gradio as gr

from kalamos.alphabets import Alphabet
from kalamos.app.page.context import Context
from kalamos.app.page.crop import frame_of, framed, framing_pad, preview
from kalamos.app.page.folder_tab import picture_input
from kalamos.app.page.html import answer_html, hint_html, problem_html
from kalamos.app.page.model_picker import chosen_model
from kalamos.app.page.session import LastRead, Session, checked_label, save_correction
from kalamos.errors import CorruptImageError, ImageError, KalamosError, UsageError
from kalamos.images import decode_grey
from kalamos.predictions import Prediction
from kalamos.preprocessing.steps import GreyImage

__all__ = [
    "EXAMPLES",
    "MAX_DRAWING_CHARACTERS",
    "NO_QUESTION",
    "SHOW_QUESTION_JS",
    "Example",
    "build_question",
    "build_single",
    "drawing_bytes",
    "examples_html",
    "known_label",
    "question",
]

MAX_DRAWING_CHARACTERS = 2_000_000
"""Of a drawing as the browser sends it. One of 320 x 320 px has some ten thousand."""

_PNG_DATA_URL = "data:image/png;base64,"

_PAD_HTML = """
<div class="pad">
  <canvas width="320" height="320" tabindex="0" role="img"
    aria-label="Drawing area: draw one character with the mouse, a finger or a pen"></canvas>
  <div class="pad-tools">
    <button type="button" data-do="undo">Undo stroke</button>
    <button type="button" data-do="clear">Clear</button>
  </div>
</div>
"""


def drawing_pad(**named: Any) -> gr.HTML:
    """A square of white paper and a black pen. Its value is a PNG as a data URI, "" while it is empty.

    `input` is triggered while one draws, at most every 250 ms, and at the end of each stroke.
    """
    script = (files("kalamos.app") / "assets" / "pad.js").read_text(encoding="utf-8")
    return gr.HTML("", html_template=_PAD_HTML, js_on_load=script, **named)


def drawing_bytes(value: str | None) -> bytes | None:
    r"""The PNG in the value of a pad; None where nothing is drawn.

    Raises:
        CorruptImageError: not what a pad makes.

    >>> drawing_bytes("") is None, drawing_bytes("data:image/png;base64,AAAA")
    (True, b'\x00\x00\x00')
    """
    if not value:
        return None
    if (
        not isinstance(value, str)
        or len(value) > MAX_DRAWING_CHARACTERS
        or not value.startswith(_PNG_DATA_URL)
    ):
        raise CorruptImageError("the drawing did not arrive whole", remedy="draw it again")
    try:
        return base64.b64decode(value[len(_PNG_DATA_URL) :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise CorruptImageError("the drawing did not arrive whole", remedy="draw it again") from error


SHOW_QUESTION_JS: Final = """() => setTimeout(() => {
  const asked = [...document.querySelectorAll(".question")].find((each) => each.offsetParent !== null);
  asked?.scrollIntoView({ block: "nearest" });
}, 50)"""
"""Brings a question into view, which appears beneath what one types into."""

ZERO_WIDTH_JOINER = "\u200d"


@dataclass(frozen=True)
class Question:
    """The question's components; hidden while there is nothing to ask."""

    box: gr.Column
    text: gr.HTML
    label: gr.Textbox
    """What was typed, as it would be kept."""
    keep: gr.Button
    nothing: gr.Button
    """Pressed for "not a character"."""
    cancel: gr.Button

    @property
    def outputs(self) -> list[Any]:
        """What `question` and `NO_QUESTION` are for."""
        return [self.box, self.text, self.label]


NO_QUESTION: tuple[Any, ...] = (gr.update(visible=False), "", "")


def build_question(name: str) -> Question:
    """The place for a question; its components' ids begin with `name`."""
    with gr.Column(visible=False, elem_id=f"{name}-question", elem_classes="question") as box:
        text = gr.HTML("", elem_id=f"{name}-question-text")
        with gr.Row(elem_classes="tight"):
            keep = gr.Button("Keep it as a new character", elem_id=f"{name}-question-keep", min_width=120)
            nothing = gr.Button("Not a character", elem_id=f"{name}-question-nothing", min_width=120)
            cancel = gr.Button("Cancel", elem_id=f"{name}-question-cancel", min_width=80)
    label = gr.Textbox(visible="hidden", elem_id=f"{name}-question-label")
    return Question(box, text, label, keep, nothing, cancel)


def question(label: str, alphabet: Alphabet) -> tuple[Any, ...]:
    """Ask whether a label that the model lacks is to be kept; for `Question.outputs`."""
    said = html.escape(question_text(label, alphabet))
    return gr.update(visible=True), f'<p class="ask" role="alert">{said}</p>', label


def question_text(label: str, alphabet: Alphabet) -> str:
    """What to ask, and what may have been meant.

    >>> from kalamos.alphabets import DIGITS
    >>> question_text("Q", DIGITS)
    "The model has no 'Q': keep it as a new character?"
    >>> question_text("12", DIGITS)
    "The model has no '12', which is 2 characters, not one: keep it as one new character?"
    >>> question_text("٣", DIGITS)
    "The model has no '٣' (it has '3'): keep it as a new character?"
    """
    count = _length(label)
    if count > 1:
        return (
            f"The model has no '{label}', which is {count} characters, not one: keep it as one new character?"
        )
    near = _near(label, alphabet)
    meant = "" if near is None else f" (it has '{near}')"
    return f"The model has no '{label}'{meant}: keep it as a new character?"


def known_label(label: str, alphabet: Alphabet) -> str | None:
    """The alphabet's own label for what was typed; None where it has none.

    >>> from kalamos.alphabets import LATIN_47
    >>> known_label("a", LATIN_47), known_label("c", LATIN_47), known_label("ß", LATIN_47)
    ('a', 'C', None)
    """
    position = alphabet.class_of(label)
    return None if position is None else alphabet.labels[position]


def _length(label: str) -> int:
    """Characters as people count them: marks, variants and what is joined belong to the one before."""
    count, joined = 0, False
    for each in label:
        follows = unicodedata.category(each)[0] == "M" or each == ZERO_WIDTH_JOINER or "🏻" <= each <= "🏿"
        count += not (follows or joined)
        joined = each == ZERO_WIDTH_JOINER
    flags = sum("🇦" <= each <= "🇿" for each in label)
    return max(1, count - flags // 2)


def _near(label: str, alphabet: Alphabet) -> str | None:
    """A label of the alphabet's that is the same character in another case, width or script's digits."""
    folded = unicodedata.normalize("NFKC", label)
    digit = str(unicodedata.decimal(label, "")) if len(label) == 1 else ""
    return next((each for each in (folded, label.upper(), label.lower(), digit) if each in alphabet), None)


class Example(NamedTuple):
    """One picture of one character."""

    label: str
    file: str
    """In `assets/examples`."""
    text: str
    """What it shows, in a few words."""


EXAMPLES: Final = (
    Example("7", "7-pen.png", "A 7 in pen"),
    Example("3", "3-chalk.jpg", "A 3 in chalk"),
    Example("2", "2-photo.jpg", "A 2, photographed"),
    Example("A", "a-marker.png", "An A in marker"),
    Example("R", "r-pencil.jpg", "An R in pencil"),
    Example("ب", "ba-pen.png", "The letter ba in pen"),
    Example("ع", "ain-photo.jpg", "The letter ain, photographed"),
)


def examples_html(labels: Collection[str], text: str = "Or try one of these:") -> str:
    """Buttons with the examples of characters that a model has; "" where it has none of them.

    A click gives the picture to the field for pictures, as if it had been dropped there.
    """
    known = [example for example in EXAMPLES if example.label in labels]
    if not known:
        return ""
    buttons = "".join(
        f'<button type="button" data-example="{each.file}" title="{html.escape(each.text)}">'
        f'<img src="{_data_uri(each.file)}" alt="{html.escape(each.text)}"></button>'
        for each in known
    )
    return f'<div class="examples"><p class="hint">{html.escape(text)}</p>{buttons}</div>'


@cache
def _data_uri(file: str) -> str:
    content = (files("kalamos.app") / "assets" / "examples" / file).read_bytes()
    kind = "png" if file.endswith(".png") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


SINGLE_START = hint_html("Draw one character, or open or paste a picture of one. The answer appears here.")


def build_single(context: Context, page: gr.Blocks) -> None:
    labels = context.registry.spec(context.registry.default).alphabet.labels
    with gr.Row(elem_classes="two"):
        with gr.Column(min_width=300), gr.Tabs(elem_id="sources"):
            with gr.Tab("Draw"):
                pad = drawing_pad(elem_id="pad")
            with gr.Tab("Picture or camera"):
                picture = picture_input(
                    sources=["upload", "clipboard", "webcam"],
                    label="A picture of one character",
                    height=340,
                    elem_id="picture",
                    webcam_options=gr.WebcamOptions(mirror=False),
                    buttons=[],
                )
                with gr.Accordion("Crop or turn it", open=False, visible=False, elem_id="framing") as opened:
                    frame = framing_pad(elem_id="frame")
                tried = gr.HTML(examples_html(labels, "Examples:"), elem_id="examples-to-try")
        with gr.Column(min_width=300):
            answer = gr.HTML(SINGLE_START + examples_html(labels), elem_id="answer")
            with gr.Row(elem_classes="keep"):
                right = gr.Textbox(
                    label="Not right? Type what it is",
                    value="",
                    placeholder="e.g. 7",
                    max_length=64,
                    elem_id="right-label",
                    scale=3,
                    min_width=140,
                )
                kept_button = gr.Button("Keep as example", elem_id="keep", scale=1, min_width=160)
            asked = build_question("right")
            kept = gr.HTML("", elem_id="kept")
    with gr.Accordion("Reading options", open=False):
        least = gr.Slider(
            0, 0.99, value=0, step=0.01, label="Minimum confidence", elem_id="least",
            info="Below this, the answer is “not sure enough”. 0 leaves it to the model.",
        )  # fmt: skip
        charset = gr.Textbox(
            label="Only these characters",
            value="",
            placeholder="e.g. digits, or 0 1 2 3",
            info="Leave it empty for all characters of the model. Groups: digits, upper, lower, letters.",
            max_length=400,
            elem_id="charset",
        )
        again = gr.Button("Read again", elem_id="read")

    drawn = partial(_read_drawing, context)
    session, model = context.session, context.model
    options = [least, charset]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 4}
    # While one image is read, only the newest of those that come in waits.
    pad.input(drawn, [session, model, pad, *options], answer, trigger_mode="always_last", **quiet)
    picture.change(
        partial(_read_picture, context), [session, model, picture, *options], [answer, opened, frame], **quiet
    )
    opened.expand(partial(_preview, context), session, frame, **quiet)
    frame.input(
        partial(_read_part, context),
        [session, model, frame, *options],
        answer,
        trigger_mode="always_last",
        **quiet,
    )
    gr.on(
        [model.change, again.click, charset.submit, least.release],
        partial(_read_again, context),
        [session, model, *options],
        answer,
        **quiet,
    )
    model.change(
        lambda visit, name: examples_html(_model_labels(context, visit, name), "Examples:"),
        [session, model],
        tried,
        **quiet,
    )
    page.load(partial(_restore, context), session, answer, **quiet)
    told = [kept, right, *asked.outputs]
    settled = gr.on(
        [right.submit, kept_button.click],
        partial(_check_and_save, context),
        [session, right],
        told,
        **quiet,
    )
    settled.then(None, js=SHOW_QUESTION_JS, **quiet)
    asked.keep.click(partial(_check_and_save, context, asked=True), [session, asked.label], told, **quiet)
    asked.nothing.click(partial(_save_example, context, label=None), session, told, **quiet)
    asked.cancel.click(lambda: ("", *NO_QUESTION), None, [right, *asked.outputs], **quiet)


def _model_labels(context: Context, visit: Session, model: str) -> tuple[str, ...]:
    """What a model can answer; nothing for one that cannot be opened, which the switcher says."""
    try:
        return visit.reader(context.registry, model).labels
    except KalamosError:
        return ()


def _read_single(
    context: Context, visit: Session, model: str, image: bytes | None, least: float, charset: str
) -> str:
    visit.source, last = image, None
    if image is None:
        visit.last = None
        return SINGLE_START + examples_html(_model_labels(context, visit, model))
    try:
        reader = visit.reader(context.registry, model)
        try:
            grey = decode_grey(
                image,
                where="the picture",
                max_pixels=context.limits.pixels,
                min_decode_pixels=reader.min_decode_pixels,
            )
            asked = charset.strip() or None
            prediction = reader.predict(grey, min_confidence=least or None, charset=asked)
            prepared = None if prediction.error else reader.prepare(grey)
        except ImageError as error:
            prediction, prepared = Prediction(None, None, error=error), None
        if prediction.error is None:
            last = LastRead(image, prediction, model)
        return answer_html(prediction, prepared)
    except KalamosError as error:
        return problem_html(error)
    finally:
        # Not before: whoever looks inside meanwhile sees what was there until now.
        visit.last = last


def _read_picture(
    context: Context, visit: Session, model: str, image: bytes | None, least: float, charset: str
) -> tuple[str, Any, str]:
    """Read a whole picture; beneath it, there may be a part of it to choose."""
    visit.picture = image
    answer = _read_single(context, visit, model, image, least, charset)
    return answer, gr.update(visible=image is not None, open=False), ""


def _preview(context: Context, visit: Session) -> str:
    """A copy of the picture to choose a part on; nothing where it cannot be read, which the answer says."""
    if visit.picture is None:
        return ""
    try:
        return preview(_decoded(context, visit.picture))
    except ImageError:
        return ""


def _read_part(context: Context, visit: Session, model: str, value: str, least: float, charset: str) -> str:
    """Read the part of the picture that was chosen."""
    if visit.picture is None:
        return problem_html("there is no picture to cut from; open one first")
    try:
        part = framed(_decoded(context, visit.picture), frame_of(value))
    except KalamosError as error:
        return problem_html(error)
    _, content = cv2.imencode(".png", part)
    return _read_single(context, visit, model, content.tobytes(), least, charset)


def _decoded(context: Context, image: bytes) -> GreyImage:
    return decode_grey(image, where="the picture", max_pixels=context.limits.pixels)


def _read_drawing(
    context: Context, visit: Session, model: str, drawing: str, least: float, charset: str
) -> str:
    try:
        image = drawing_bytes(drawing)
    except ImageError as error:
        return problem_html(error)
    return _read_single(context, visit, model, image, least, charset)


def _read_again(context: Context, visit: Session, model: str, least: float, charset: str) -> str:
    return _read_single(context, visit, model, visit.source, least, charset)


def _restore(context: Context, visit: Session) -> Any:
    """What this visit read last, before the page was loaded again."""
    if visit.source is None:
        return gr.skip()
    return _read_again(context, visit, chosen_model(visit, context.registry), 0, "")


def _check_and_save(context: Context, visit: Session, text: str, *, asked: bool = False) -> tuple[Any, ...]:
    """Keep the image that was read last; `asked` says that a label which the model lacks is meant."""
    try:
        last = visit.last
        if last is None:
            raise UsageError("there is nothing to keep yet", remedy="draw or open a character first")
        label = checked_label(text)
        if not label:
            raise UsageError("the label is empty", remedy="type what the character is")
        alphabet = visit.reader(context.registry, last.model).spec.alphabet
        known = known_label(label, alphabet)
        if known is None and not asked and label not in {kept.label for kept in visit.examples(last.model)}:
            return "", text, *question(label, alphabet)
    except KalamosError as error:
        return problem_html(error), text, *NO_QUESTION
    return _save_example(context, visit, known or label)


def _save_example(context: Context, visit: Session, label: str | None) -> tuple[Any, ...]:
    """Keep the image that was read last, with a label or as no character."""
    last = visit.last
    if last is None:
        return "", "", *NO_QUESTION
    try:
        save_correction(context, visit, "one", last.model, last.image, label, last.prediction)
    except KalamosError as error:
        return problem_html(error), label or "", *NO_QUESTION
    count = len(visit.kept)
    what = "“not a character”" if label is None else label
    said = f"Kept as {what}. {count} kept in this visit; teach them under “Check and teach”."
    return hint_html(said), "", *NO_QUESTION
