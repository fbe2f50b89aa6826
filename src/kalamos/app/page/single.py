"""The tab for one character: drawn, uploaded, pasted or photographed."""

from __future__ import annotations

from functools import partial
from typing import Any

import cv2
import gradio as gr

from kalamos.app.page.asking import NO_QUESTION, SHOW_QUESTION_JS, build_question, known_label, question
from kalamos.app.page.context import Context
from kalamos.app.page.examples import examples_html
from kalamos.app.page.framing import frame_of, framed, framing_pad, preview
from kalamos.app.page.keeping import save_correction
from kalamos.app.page.pad import drawing_bytes, drawing_pad
from kalamos.app.page.review import checked_label
from kalamos.app.page.session import LastRead, Session
from kalamos.app.page.switcher import chosen_model
from kalamos.app.page.uploads import picture_input
from kalamos.app.page.words import answer_html, hint_html, problem_html
from kalamos.errors import ImageError, KalamosError, UsageError
from kalamos.images import decode_grey
from kalamos.predictions import Prediction
from kalamos.preprocessing.steps import GreyImage

__all__ = ["build_single"]

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
