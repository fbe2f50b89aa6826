"""The tab for one character: drawn, uploaded, pasted or photographed."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from kalamos.app.page.context import Context
from kalamos.app.page.keeping import keep
from kalamos.app.page.pad import drawing_bytes, drawing_pad
from kalamos.app.page.review import checked_label
from kalamos.app.page.session import LastRead, Session
from kalamos.app.page.uploads import picture_input
from kalamos.app.page.words import answer_html, hint_html, problem_html
from kalamos.errors import ImageError, KalamosError, UsageError
from kalamos.images import decode_grey
from kalamos.predictions import Prediction

__all__ = ["build_single"]

START = hint_html("Draw one character, or open or paste a picture of one. The answer appears here.")


def build_single(context: Context) -> None:
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
        with gr.Column(min_width=300):
            answer = gr.HTML(START, elem_id="answer")
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
            kept = gr.HTML("", elem_id="kept")
    with gr.Accordion("How to read", open=False):
        least = gr.Slider(
            0, 0.99, value=0, step=0.01, label="Least confidence", elem_id="least",
            info="Below it, the answer is “not sure enough”. 0 leaves it to the model.",
        )  # fmt: skip
        charset = gr.Textbox(
            label="Only these characters",
            value="",
            placeholder="e.g. digits, or 0 1 2 3",
            info="Empty for all that the model knows. Groups: digits, upper, lower, letters.",
            max_length=400,
            elem_id="charset",
        )
        again = gr.Button("Read again", elem_id="read")

    read, drawn = partial(_read, context), partial(_read_drawing, context)
    session, model = context.session, context.model
    options = [least, charset]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 4}
    # While one image is read, only the newest of those that come in waits.
    pad.input(drawn, [session, model, pad, *options], answer, trigger_mode="always_last", **quiet)
    picture.change(read, [session, model, picture, *options], answer, **quiet)
    gr.on(
        [model.change, again.click, charset.submit, least.release],
        partial(_read_again, context),
        [session, model, *options],
        answer,
        **quiet,
    )
    gr.on(
        [right.submit, kept_button.click],
        partial(_keep_example, context),
        [session, right],
        [kept, right],
        **quiet,
    )


def _read(
    context: Context, visit: Session, model: str, image: bytes | None, least: float, charset: str
) -> str:
    visit.source, last = image, None
    if image is None:
        visit.last = None
        return START
    try:
        reader = visit.reader(context.shelf, model)
        try:
            grey = decode_grey(
                image,
                where="the picture",
                max_pixels=context.limits.pixels,
                enough_pixels=reader.enough_pixels,
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


def _read_drawing(
    context: Context, visit: Session, model: str, drawing: str, least: float, charset: str
) -> str:
    try:
        image = drawing_bytes(drawing)
    except ImageError as error:
        return problem_html(error)
    return _read(context, visit, model, image, least, charset)


def _read_again(context: Context, visit: Session, model: str, least: float, charset: str) -> str:
    return _read(context, visit, model, visit.source, least, charset)


def _keep_example(context: Context, visit: Session, text: str) -> tuple[str, str]:
    try:
        last = visit.last
        if last is None:
            raise UsageError("there is nothing to keep yet", remedy="draw or open a character first")
        label = checked_label(text)
        if not label:
            raise UsageError("the label is empty", remedy="type what the character is")
        keep(context, visit, "one", last.model, last.image, label, last.prediction)
    except KalamosError as error:
        return problem_html(error), text
    count = len(visit.kept)
    return hint_html(f"Kept as {label}. {count} kept in this visit; teach them under “Check and teach”."), ""
