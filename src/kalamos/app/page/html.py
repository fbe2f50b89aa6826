"""Answers as HTML, letter names, and pictures inside the page.

The HTML comes from the macros of `assets/page.html`, which escape what comes from outside. Pictures lie in
the page itself: nothing is written to disk, so nobody else can ask for it.
"""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader
from jinja2.environment import TemplateModule
from numpy.typing import NDArray

from kalamos.errors import NoInkError
from kalamos.predictions import NOT_A_CHARACTER, SEVERAL, Prediction
from kalamos.preprocessing.steps import GreyImage

MIN_EXAMPLES_FOR_PERCENT: Final = 20
"""Examples from which on a percentage is shown: each one of fewer moves it by more than 5 points."""

MIN_TILE_PX = 64
"""The least side of one feature map, in px: they are a few px wide in the last stages."""

TILE_GAP_PX = 4


def data_uri(image: NDArray[np.uint8]) -> str:
    """Return a PNG for an `<img src>`.

    Args:
        image: uint8 [H, W] grey, [H, W, 3] RGB or [H, W, 4] RGBA.

    >>> data_uri(np.zeros((1, 1), np.uint8))[:30]
    'data:image/png;base64,iVBORw0K'
    """
    if image.ndim == 3:
        code = cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        image = cv2.cvtColor(image, code)  # type: ignore[assignment]
    _, content = cv2.imencode(".png", image)
    return f"data:image/png;base64,{base64.b64encode(content.tobytes()).decode('ascii')}"


def jpeg_uri(grey: GreyImage) -> str:
    """Return a JPEG for an `<img src>`: of a photograph, a tenth of the PNG.

    >>> jpeg_uri(np.zeros((1, 1), np.uint8))[:27]
    'data:image/jpeg;base64,/9j/'
    """
    _, content = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return f"data:image/jpeg;base64,{base64.b64encode(content.tobytes()).decode('ascii')}"


def fit_within(grey: GreyImage, side: int) -> GreyImage:
    """Scale an image down to fit into side x side px; one that fits is returned as it is."""
    scale = side / max(grey.shape)
    if scale >= 1:
        return grey
    height, width = (max(1, round(each * scale)) for each in grey.shape)
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def channel_grid(maps: NDArray[np.float32], *, most: int = 12, columns: int = 4) -> NDArray[np.uint8]:
    """Draw the first channels of a stage side by side, each from its own least to its own greatest value.

    Args:
        maps: float32 [C, h, w], C at least 1.
        most: channels to show.
        columns: in a row.

    Returns:
        RGBA uint8 [H, W, 4] in the colours of viridis; what lies between the channels is transparent.

    >>> channel_grid(np.zeros((32, 8, 8), np.float32)).shape
    (200, 268, 4)
    """
    shown = maps[:most]
    enlarged = max(1, -(-MIN_TILE_PX // max(maps.shape[1:])))
    height, width = (side * enlarged for side in maps.shape[1:])
    rows = -(-len(shown) // columns)
    grid = np.zeros(
        (rows * (height + TILE_GAP_PX) - TILE_GAP_PX, columns * (width + TILE_GAP_PX) - TILE_GAP_PX, 4),
        np.uint8,
    )
    for place, channel in enumerate(shown):
        top, left = (place // columns) * (height + TILE_GAP_PX), (place % columns) * (width + TILE_GAP_PX)
        tile = cv2.resize(_stretched(channel), (width, height), interpolation=cv2.INTER_NEAREST)
        coloured = cv2.applyColorMap(tile, cv2.COLORMAP_VIRIDIS)
        grid[top : top + height, left : left + width, :3] = coloured[..., ::-1]
        grid[top : top + height, left : left + width, 3] = 255
    return grid


def _stretched(channel: NDArray[np.float32]) -> GreyImage:
    """Min-max to 0..255; one that is the same everywhere has nothing to show."""
    least, greatest = float(channel.min()), float(channel.max())
    if greatest <= least:
        return np.zeros(channel.shape, np.uint8)
    return ((channel - least) * (255 / (greatest - least))).round().astype(np.uint8)


class LetterName(NamedTuple):
    """A letter's name in Latin letters, and as its own readers write it."""

    latin: str
    native: str


NAMES: Final[Mapping[str, LetterName]] = MappingProxyType(
    {
        letter: LetterName(latin, native)
        for letter, latin, native in (
            ("ا", "alif", "ألف"), ("ب", "ba", "باء"), ("ت", "ta", "تاء"), ("ث", "tha", "ثاء"),
            ("ج", "jim", "جيم"), ("ح", "ḥa", "حاء"), ("خ", "kha", "خاء"), ("د", "dal", "دال"),
            ("ذ", "dhal", "ذال"), ("ر", "ra", "راء"), ("ز", "zay", "زاي"), ("س", "sin", "سين"),
            ("ش", "shin", "شين"), ("ص", "ṣad", "صاد"), ("ض", "ḍad", "ضاد"), ("ط", "ṭa", "طاء"),
            ("ظ", "ẓa", "ظاء"), ("ع", "ʿayn", "عين"), ("غ", "ghayn", "غين"), ("ف", "fa", "فاء"),
            ("ق", "qaf", "قاف"), ("ك", "kaf", "كاف"), ("ل", "lam", "لام"), ("م", "mim", "ميم"),
            ("ن", "nun", "نون"), ("ه", "ha", "هاء"), ("و", "waw", "واو"), ("ي", "ya", "ياء"),
            ("ء", "hamza", "همزة"), ("ئ", "hamza on ya", "همزة على نبرة"),
            ("ؤ", "hamza on waw", "همزة على واو"), ("أ", "hamza on alif", "همزة على ألف"),
            ("إ", "hamza under alif", "همزة تحت ألف"), ("آ", "alif madda", "ألف ممدودة"),
            ("ة", "ta marbuta", "تاء مربوطة"), ("ى", "alif maqsura", "ألف مقصورة"),
            ("لا", "lam alif", "لام ألف"),
        )
    }
)  # fmt: skip
"""Arabic letters, composed (NFC) -> their names; those of the DIN 31635 transliteration, simplified."""


def letter_name(label: str) -> LetterName | None:
    """Return what a label is called; None if it says its own name, as "7" and "A" do.

    Other Arabic letters (Persian, Urdu) go by their names in Unicode.

    >>> letter_name("ب")
    LetterName(latin='ba', native='باء')
    >>> letter_name("پ").latin, letter_name("A")
    ('peh', None)
    """
    composed = unicodedata.normalize("NFC", label)
    known = NAMES.get(composed)
    if known is None and len(composed) == 1:
        # Also the presentation forms: "ﺏ" is a ba in one place of a word.
        known = NAMES.get(unicodedata.normalize("NFKC", composed))
        name = unicodedata.name(composed, "")
        if known is None and name.startswith("ARABIC LETTER "):
            known = LetterName(name.removeprefix("ARABIC LETTER ").lower(), "")
    return known


def percent(share: float) -> str:
    """Format a share in [0, 1], never rounded up to certainty nor down to nothing; of two shares, the larger
    one never shows less.

    >>> percent(0.5), percent(0.99996), percent(0.004), percent(0.0004)
    ('50 %', 'over 99.9 %', '0.4 %', 'under 0.1 %')
    """
    if share > 0.999:
        return "over 99.9 %"
    if 0 < share < 0.001:
        return "under 0.1 %"
    # Rounded to tenths first, so that what is shown changes its precision where it changes nothing else.
    tenths = round(1000 * share)
    digits = 1 if 0 < tenths < 10 or tenths > 990 else 0
    return f"{100 * share:.{digits}f} %"


def correct_of(right: int, n: int) -> str:
    """Say how many of n examples were read right; with a percentage only if n is enough for one.

    >>> correct_of(1, 1), correct_of(38, 40)
    ('1 of 1', '38 of 40 (95 %)')
    """
    counts = f"{right:,} of {n:,}"
    return counts if n < MIN_EXAMPLES_FOR_PERCENT else f"{counts} ({right / n:.0%})".replace("%", " %")


def verdict(prediction: Prediction) -> str:
    """Describe a prediction in one plain sentence.

    >>> verdict(Prediction("7", 0.98))
    'Read as 7, 98 % sure.'
    """
    if isinstance(prediction.error, NoInkError):
        return "No ink: nothing is written here."
    if prediction.error is not None:
        return f"Cannot be read: {prediction.error}."
    confidence = percent(prediction.confidence or 0.0)
    if prediction.label is None:
        best = prediction.top[0].label if prediction.top else "?"
        if prediction.reason == SEVERAL:
            return "Several characters, it seems: this model reads one at a time."
        if prediction.reason == NOT_A_CHARACTER:
            return f"Not one of this model's characters, it seems. The best guess is {best}."
        return f"Not sure enough to say. The best guess is {best}, {confidence} sure."
    return f"Read as {prediction.label}, {confidence} sure."


def render(macro: str, **values: Any) -> str:
    """Fill one of the macros of `assets/page.html`, which escapes the values.

    >>> render("hint", text="a < b")
    '<p class="hint">a &lt; b</p>'
    """
    return str(getattr(_macros(), macro)(**values))


@cache
def _macros() -> TemplateModule:
    environment = Environment(loader=PackageLoader("kalamos.app", "assets"), autoescape=True)
    return environment.get_template("page.html").module


def hint_html(text: str) -> str:
    """Return a quiet line that says what to do next."""
    return render("hint", text=text)


def problem_html(error: Exception | str) -> str:
    """Return what went wrong, and how to fix it."""
    return render("problem", text=str(error))


def answer_html(prediction: Prediction, prepared: GreyImage | None) -> str:
    """Return the verdict, the label in large, a bar for each candidate, and what the model saw."""
    bars = []
    for label, confidence in prediction.top[:5]:
        name = letter_name(label)
        bars.append((label, name and name.latin, f"{confidence:.4f}", percent(confidence)))
    return render(
        "answer",
        glyph=None if prediction.label is None else glyph_html(prediction.label),
        verdict=verdict(prediction),
        bars=bars,
        excluded=None if prediction.removed is None else percent(prediction.removed),
        seen=None
        if prepared is None
        else {"uri": data_uri(prepared), "size": f"{prepared.shape[1]}×{prepared.shape[0]}"},
    )


def glyph_html(label: str) -> str:
    """Return a label in large, in its own direction, with its name if it has one."""
    rtl = any(unicodedata.bidirectional(each) in {"R", "AL"} for each in label)
    return render("glyph", label=label, direction="rtl" if rtl else "ltr", name=letter_name(label))


def columns_html(title: str, counts: Mapping[str, int]) -> str:
    """Return a column for each label, with its count above and its label beneath.

    Gradio's own plot shows data that came while it was still being drawn, or behind another tab, at times
    only in part: the title of the new and the columns of the old.

    >>> columns_html("How often", {"7": 2, "1": 1}).count('class="column"')
    2
    """
    most = max(counts.values(), default=0) or 1
    bars = [(label, f"{count:,}", f"{count / most:.4f}") for label, count in counts.items()]
    return render("columns", title=title, bars=bars)


def alphabet_summary(labels: Sequence[str]) -> str:
    """Describe what a model's alphabet consists of, in a few words.

    >>> alphabet_summary("0123456789"), alphabet_summary(["a", "B", "7"]), alphabet_summary(["ا", "لا"])
    ('0-9', '3 letters and digits', '2 letters')
    """
    if len(labels) > 2 and all(len(each) == 1 for each in labels) and "".join(labels).isascii():
        points = [ord(each) for each in labels]
        if points == list(range(points[0], points[0] + len(points))):
            return f"{labels[0]}-{labels[-1]}"
    kinds = {_kind(each) for each in labels}
    names = [kind for kind in ("letters", "digits", "signs") if kind in kinds]
    return f"{len(labels):,} {' and '.join(names) if len(names) < 3 else 'characters'}"


def _kind(label: str) -> str:
    """Return the kind of the first character that is not a mark above or below another."""
    categories = [unicodedata.category(each)[0] for each in label]
    first = next((each for each in categories if each != "M"), "M")
    return {"L": "letters", "N": "digits", "M": "letters"}.get(first, "signs")
