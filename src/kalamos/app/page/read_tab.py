"""The tabs for one character, drawn, uploaded, pasted or photographed, and for what the model makes of it."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final, NamedTuple

import cv2
import numpy as np

from kalamos.app._gradio import gr
from kalamos.app.page.context import (
    ASSETS,
    QUIET,
    Context,
    asset_text,
    charset_field,
    chosen_model,
    confidence_field,
    picture_input,
)
from kalamos.app.page.corrections import (
    NO_QUESTION,
    SHOW_QUESTION_JS,
    accepted_label,
    build_question,
    question,
    save_correction,
)
from kalamos.app.page.html import (
    answer_html,
    channel_grid,
    data_uri,
    fit_within,
    hint_html,
    jpeg_uri,
    problem_html,
    render,
    verdict,
)
from kalamos.app.page.session import LastRead, Session
from kalamos.errors import CorruptImageError, ImageError, KalamosError, UsageError
from kalamos.explain import occlusion, overlay
from kalamos.images import decode_grey
from kalamos.postprocessing import predictions_of
from kalamos.predict_options import PredictOptions
from kalamos.predictions import Prediction
from kalamos.preprocessing.steps import GreyImage
from kalamos.recognizer import Recognizer

MAX_DRAWING_CHARACTERS = 2_000_000
"""Of a drawing as the browser sends it. One of 320 x 320 px has some ten thousand."""

MAX_PREVIEW_PX: Final = 480
"""The longer side of the copy that the browser shows, in px."""

MAX_CROP_PX: Final = 1024
"""The longer side that is kept of the part cut out, in px: models see far fewer."""

MAX_FRAME_CHARACTERS: Final = 1000
"""Characters of what the browser sends."""

FRAMING_HTML = """
<div class="framing">
  <canvas width="320" height="240" tabindex="0" role="img"
    aria-label="The picture: drag a rectangle around the character. Arrow keys move it, with Shift they resize it"></canvas>
  <div class="pad-tools">
    <button type="button" data-do="left">Turn left</button>
    <button type="button" data-do="right">Turn right</button>
    <button type="button" data-do="whole">Whole picture</button>
  </div>
  <label>Turn a little <input type="range" min="-45" max="45" step="1" value="0"> <output>0°</output></label>
</div>
"""  # noqa: E501

PAD_HTML = """
<div class="pad">
  <canvas width="320" height="320" tabindex="0" role="img"
    aria-label="Drawing area: draw one character with the mouse, a finger or a pen"></canvas>
  <div class="pad-tools">
    <button type="button" data-do="undo">Undo stroke</button>
    <button type="button" data-do="clear">Clear</button>
  </div>
</div>
"""

MAX_CHANNELS = 12
"""Feature maps of one stage that are shown."""

SINGLE_START = hint_html("Draw one character, or open or paste a picture of one. The answer appears here.")
INSIDE_START = hint_html("Read one character first; then see here how the model arrives at its answer.")

_PNG_DATA_URL = "data:image/png;base64,"


class Example(NamedTuple):
    """A picture of one character to try the page with, drawn by `samples/make_samples.py`."""

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


def build_single(context: Context, page: gr.Blocks) -> None:
    """Build the tab for one character."""
    labels = context.registry.spec(context.registry.default).alphabet.labels
    with gr.Row(elem_classes="two"):
        with gr.Column(min_width=300), gr.Tabs(elem_id="sources"):
            with gr.Tab("Draw"):
                # Gradio's own Sketchpad draws with WebGL: with a software renderer on two busy cores it took
                # 19 seconds until one could draw, and what it uploads of a stroke that another follows stays
                # in the server's memory. The value of this pad is a PNG as a data URL, "" while it is empty;
                # `input` is triggered while one draws, at most every 250 ms, and at the end of each stroke.
                pad = gr.HTML("", html_template=PAD_HTML, js_on_load=asset_text("pad.js"), elem_id="pad")
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
                    # A value of `preview` shows a picture to turn and to drag a rectangle on; `input` is
                    # triggered with a value for `frame_of`.
                    frame = gr.HTML(
                        "", html_template=FRAMING_HTML, js_on_load=asset_text("framing.js"), elem_id="frame"
                    )
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
        least = confidence_field(
            elem_id="least", info="Below this, the answer is “not sure enough”. 0 leaves it to the model."
        )
        charset = charset_field(
            placeholder="e.g. digits, or 0 1 2 3",
            info="Leave it empty for all characters of the model. Groups: digits, upper, lower, letters.",
            elem_id="charset",
        )
        again = gr.Button("Read again", elem_id="read")

    session, model = context.session, context.model
    options = [least, charset]
    quick = {**QUIET, "concurrency_limit": 4}
    # While one image is read, only the newest of those that come in waits.
    newest = {**quick, "trigger_mode": "always_last"}
    pad.input(partial(_read_drawing, context), [session, model, pad, *options], answer, **newest)
    read_picture = partial(_read_picture, context)
    picture.change(read_picture, [session, model, picture, *options], [answer, opened, frame], **quick)
    opened.expand(partial(_preview, context), session, frame, **quick)
    frame.input(partial(_read_part, context), [session, model, frame, *options], answer, **newest)
    gr.on(
        [model.change, again.click, charset.submit, least.release],
        partial(_read_again, context),
        [session, model, *options],
        answer,
        **quick,
    )
    model.change(
        lambda visit, name: examples_html(_model_labels(context, visit, name), "Examples:"),
        [session, model],
        tried,
        **quick,
    )
    page.load(partial(_restore, context), session, answer, **quick)
    outcome = [kept, right, *asked.outputs]
    check, save = partial(_check_and_save, context), partial(_save_example, context)
    settled = gr.on([right.submit, kept_button.click], check, [session, right], outcome, **quick)
    settled.then(None, js=SHOW_QUESTION_JS, **quick)
    asked.keep.click(partial(check, asked=True), [session, asked.label], outcome, **quick)
    asked.nothing.click(partial(save, label=None), session, outcome, **quick)
    asked.cancel.click(lambda: ("", *NO_QUESTION), None, [right, *asked.outputs], **quick)


def build_inside(context: Context, tab: gr.Tab) -> None:
    """Build the tab that shows what happens inside the model."""
    spec = context.registry.spec(context.registry.default)
    stages = gr.Dropdown(
        list(spec.feature_maps),
        value=first_stages(spec.feature_maps),
        multiselect=True,
        label="Stages of the network, from the image to the answer",
        elem_id="stages",
    )
    view = gr.HTML(INSIDE_START, elem_id="inside")

    def choose(visit: Session, model: str) -> Any:
        try:
            found = visit.reader(context.registry, model).spec.feature_maps
        except KalamosError:  # the list of models says it
            found = ()
        return gr.update(choices=list(found), value=first_stages(found))

    def look(visit: Session, model: str, chosen: list[str] | None) -> str:
        if visit.last is None:
            return INSIDE_START
        try:
            reader = visit.reader(context.registry, model)
            return inside_html(reader, visit.last, chosen or (), context.limits.pixels)
        except KalamosError as error:
            return problem_html(error)

    session, model = context.session, context.model
    model.change(choose, [session, model], stages, **QUIET)
    gr.on([tab.select, stages.change], look, [session, model, stages], view, **QUIET)


def first_stages(stages: Sequence[str]) -> list[str]:
    """Return three stages: the first, one in the middle, the last; all if there are no more than three.

    >>> first_stages(["a", "b", "c", "d", "e"])
    ['a', 'c', 'e']
    """
    if len(stages) <= 3:
        return list(stages)
    return [stages[0], stages[len(stages) // 2], stages[-1]]


def inside_html(reader: Recognizer, last: LastRead, stages: Sequence[str], max_pixels: int) -> str:
    """Return the image as the model sees it, where the answer lies in it, and the stages' feature maps."""
    # Decoded once; what is prepared again is as small as the picture that the model needs.
    grey = decode_grey(last.image, where="the picture", max_pixels=max_pixels)
    steps = dict(reader.trace(grey))
    prepared = [*steps.values()][-1]
    prediction = _predict_prepared(reader, prepared, PredictOptions())
    best = prediction.top[0].label
    heat, maps = occlusion(reader, grey, label=best), reader.feature_maps(grey)
    size = f"{prepared.shape[1]}×{prepared.shape[0]} px"
    inputs = [
        ("seen", data_uri(prepared), "What the model saw", size),
        *(
            (
                "ink",
                data_uri(image),
                "The ink that was found",
                "Bright is ink. Small ink is seen from nearer.",
            )
            for name, image in steps.items()
            if name == "ink"
        ),
        (
            "saliency",
            data_uri(overlay(prepared, heat)),
            f"Evidence for {best}",
            "Orange: covering it makes the answer less likely. Blue: more likely.",
        ),
    ]
    grids = [
        (
            f"stage-{number}",
            data_uri(channel_grid(maps[stage], most=MAX_CHANNELS)),
            stage,
            f"{min(MAX_CHANNELS, len(maps[stage]))} of {len(maps[stage])} channels, "
            f"{maps[stage].shape[2]}×{maps[stage].shape[1]} px each; bright is strong",
        )
        for number, stage in enumerate(stages)
        if stage in maps
    ]
    note = "" if reader.spec.feature_maps else "This model file has no feature maps to show."
    return render("figures", verdict=verdict(prediction), inputs=inputs, stages=grids, note=note)


def _predict_prepared(reader: Recognizer, prepared: GreyImage, options: PredictOptions) -> Prediction:
    """Do what `Recognizer.predict` does, with an image that is prepared already."""
    rule = reader.answer_rule(options)
    found = reader.infer_prepared([prepared], rule.class_mask)
    [prediction] = predictions_of(found, [None], rule, [prepared])
    return prediction


def _read_single(
    context: Context, visit: Session, model: str, image: bytes | None, least: float, charset: str
) -> str:
    visit.source, last = image, None
    if image is None:
        visit.last = None
        return SINGLE_START + examples_html(_model_labels(context, visit, model))
    try:
        reader = visit.reader(context.registry, model)
        options = context.options(least, charset)
        reader.answer_rule(options)  # whatever the picture is, options that are wrong are said
        try:
            prepared = reader.prepare(image, max_pixels=options.max_pixels)
        except ImageError as error:
            return answer_html(Prediction(None, None, error=error), None)
        prediction = _predict_prepared(reader, prepared, options)
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
    return _read_single(context, visit, model, image, least, charset)


def drawing_bytes(value: str | None) -> bytes | None:
    r"""Return the PNG in the value of a pad; None if nothing is drawn.

    Raises:
        CorruptImageError: not what a pad makes.

    >>> drawing_bytes("") is None, drawing_bytes("data:image/png;base64,AAAA")
    (True, b'\x00\x00\x00')
    """
    if not value:
        return None
    problem = CorruptImageError("the drawing did not arrive whole", remedy="draw it again")
    is_drawing = isinstance(value, str) and value.startswith(_PNG_DATA_URL)
    if not is_drawing or len(value) > MAX_DRAWING_CHARACTERS:
        raise problem
    try:
        return base64.b64decode(value.removeprefix(_PNG_DATA_URL), validate=True)
    except (binascii.Error, ValueError):
        raise problem from None


def _read_picture(
    context: Context, visit: Session, model: str, image: bytes | None, least: float, charset: str
) -> tuple[str, Any, str]:
    """Read a whole picture; beneath it, there may be a part of it to choose."""
    visit.picture = image
    answer = _read_single(context, visit, model, image, least, charset)
    return answer, gr.update(visible=image is not None, open=False), ""


def _preview(context: Context, visit: Session) -> str:
    """Return a copy of the picture to choose a part on; "" if it cannot be read, which the answer says."""
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


def _read_again(context: Context, visit: Session, model: str, least: float, charset: str) -> str:
    return _read_single(context, visit, model, visit.source, least, charset)


def _restore(context: Context, visit: Session) -> Any:
    """Return what this visit read last, before the page was loaded again."""
    if visit.source is None:
        return gr.skip()
    return _read_again(context, visit, chosen_model(visit, context.registry), 0, "")


def _check_and_save(context: Context, visit: Session, text: str, *, asked: bool = False) -> tuple[Any, ...]:
    """Keep the image that was read last; `asked` says that a label which the model lacks is meant."""
    try:
        last = visit.last
        if last is None:
            raise UsageError("there is nothing to keep yet", remedy="draw or open a character first")
        if not text:
            raise UsageError("the label is empty", remedy="type what the character is")
        label, lacking = accepted_label(context, visit, last.model, text, asked=asked)
    except KalamosError as error:
        return problem_html(error), text, *NO_QUESTION
    if lacking is not None:
        return "", text, *question(label, lacking)
    return _save_example(context, visit, label)


def _save_example(context: Context, visit: Session, label: str | None) -> tuple[Any, ...]:
    """Keep the image that was read last, with a label or as no character."""
    last = visit.last
    if last is None:
        return "", "", *NO_QUESTION
    try:
        save_correction(context, visit, "one", last.model, last.image, label, last.prediction)
    except KalamosError as error:
        return problem_html(error), label or "", *NO_QUESTION
    what = "“not a character”" if label is None else label
    said = f"Kept as {what}. {len(visit.kept)} kept in this visit; teach them under “Check and teach”."
    return hint_html(said), "", *NO_QUESTION


def _model_labels(context: Context, visit: Session, model: str) -> tuple[str, ...]:
    """Return what a model can answer; nothing if it cannot be opened, which the list of models says."""
    try:
        return visit.reader(context.registry, model).labels
    except KalamosError:
        return ()


def examples_html(labels: Collection[str], text: str = "Or try one of these:") -> str:
    """Return buttons with the examples of characters that a model has; "" if it has none of them.

    A click gives the picture to the field for pictures, as if it had been dropped there.
    """
    known = [(each.file, each.text, _example_uri(each.file)) for each in EXAMPLES if each.label in labels]
    return render("examples", title=text, pictures=known) if known else ""


@cache
def _example_uri(file: str) -> str:
    content = (ASSETS / "examples" / file).read_bytes()
    kind = "png" if file.endswith(".png") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


@dataclass(frozen=True)
class Frame:
    """A part of a picture.

    Attributes:
        turn: clockwise, in degrees, which comes first.
        box: left, top, right and bottom of the part, as shares in [0, 1] of the turned picture's sides.
    """

    turn: float = 0.0
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


def preview(grey: GreyImage) -> str:
    """Return what shows a picture to cut from: a small copy.

    The browser sends numbers alone; the part itself is cut out of the picture as it was given, so that
    nothing of it is lost, whatever the browser can show.
    """
    return json.dumps({"picture": jpeg_uri(fit_within(grey, MAX_PREVIEW_PX))})


def frame_of(value: str | None) -> Frame:
    """Return what was chosen of a picture in the browser.

    Raises:
        UsageError: not what the page sends.

    >>> frame_of('{"turn": 90, "box": [0, 0, 0.5, 1]}')
    Frame(turn=90.0, box=(0.0, 0.0, 0.5, 1.0))
    >>> frame_of('{"turn": 0, "box": null}') == Frame()
    True
    """
    problem = UsageError("what was cut out did not arrive whole", remedy="drag the rectangle again")
    if not isinstance(value, str) or len(value) > MAX_FRAME_CHARACTERS:
        raise problem
    try:
        given = json.loads(value)
        turn, box = float(given["turn"]), given["box"]
        left, top, right, bottom = (0.0, 0.0, 1.0, 1.0) if box is None else map(float, box)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise problem from None
    if not (-360 <= turn <= 360 and 0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise problem
    return Frame(turn, (left, top, right, bottom))


def framed(grey: GreyImage, frame: Frame) -> GreyImage:
    """Cut the part out of a picture, turned upright.

    Args:
        grey: uint8 [H, W].
        frame: a turn by quarters moves pixels, any other interpolates; corners that come from outside the
            picture repeat its border.

    Returns:
        uint8, its longer side at most 1,024 px.

    >>> framed(np.array([[1, 2], [3, 4]], np.uint8), Frame(90, (0, 0, 1, 0.5))).tolist()
    [[3, 1]]
    """
    left, top, right, bottom = frame.box
    height, width = _turned_size(grey.shape, frame.turn)
    longest = max((right - left) * width, (bottom - top) * height)
    if longest > MAX_CROP_PX:
        grey = fit_within(grey, max(1, math.floor(max(grey.shape) * MAX_CROP_PX / longest)))
    turned = _turned(grey, frame.turn)
    height, width = turned.shape
    x0, y0 = min(width - 1, math.floor(left * width)), min(height - 1, math.floor(top * height))
    x1, y1 = max(x0 + 1, math.ceil(right * width)), max(y0 + 1, math.ceil(bottom * height))
    return np.ascontiguousarray(turned[y0:y1, x0:x1])


def _turned_size(shape: tuple[int, ...], turn: float) -> tuple[float, float]:
    """Height and width of what holds a turned picture."""
    sine, cosine = abs(math.sin(math.radians(turn))), abs(math.cos(math.radians(turn)))
    return shape[0] * cosine + shape[1] * sine, shape[1] * cosine + shape[0] * sine


def _turned(grey: GreyImage, turn: float) -> GreyImage:
    if turn % 90 == 0:
        return np.rot90(grey, -round(turn / 90) % 4)
    height, width = (max(1, round(side)) for side in _turned_size(grey.shape, turn))
    # OpenCV turns anticlockwise, around a pixel's middle.
    matrix = cv2.getRotationMatrix2D(((grey.shape[1] - 1) / 2, (grey.shape[0] - 1) / 2), -turn, 1)
    matrix[:, 2] += (width - grey.shape[1]) / 2, (height - grey.shape[0]) / 2
    return cv2.warpAffine(  # type: ignore[return-value]
        grey, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
