"""Forms that are filled by hands that nothing learnt from, and scanned or photographed.

Usage: python benchmarks/drawn_forms.py [--kind KIND] [--content CONTENT] [--n 8] [--seed 0] [-o build/forms]
Writes for each sheet its picture, NAME.png, and NAME-boxes.png with the true boxes drawn over it; for each
form its template, with the empty form beside it where it names one; and truth.json. KIND is "scan",
"photograph" or "all", which take turns, or one of their kinds. MNIST, EMNIST and AHCD have to be in the
data folder.

`draw_sheet` draws a sheet from a number, the same each time. Twenty numbers in a row share a form.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from drawn_camera import PHOTOGRAPHS, SCANS, Shot, photograph, scan
from drawn_hands import ARABIC, CAPITALS, DIGITS, Hands, Pen, held_out_hands, random_pen, stamp, write
from drawn_paper import Floats, crease, ink_in, paper
from drawn_templates import CONTENTS, draw_empty, page_size, random_template
from numpy.typing import NDArray
from stdnum import luhn

from kalamos.forms.template import Field, FormTemplate

__all__ = [
    "SEPARATOR",
    "FilledSheet",
    "box_labels",
    "draw_sheet",
    "fill",
    "printed",
    "random_truth",
    "save_sheet",
    "true_boxes",
]

SEPARATOR: Final = ", "
"""Between the options of a tick field that are ticked."""

SHEETS_A_FORM: Final = 20

BLANK_SHARE: Final = 0.12
"""Of all fields."""

NAMES: Final = (
    "ANNA", "BJORN", "CHLOE", "DMITRI", "ELIF", "FATIMA", "GEORGE", "HUGO", "INES", "JAKUB", "KWAME", "LUCIA",
    "MARGARET", "NIKOS", "OLGA", "PRIYA", "QUENTIN", "ROBERT", "SVEN", "TERESA", "UMBERTO", "VIKTOR",
    "WANGARI", "XAVIER", "YUSUF", "ZOFIA", "MARY ANN", "DE VRIES",
)  # fmt: skip


@dataclass(frozen=True)
class FilledSheet:
    """A sheet that was filled and came back.

    Attributes:
        image: uint8 [H, W].
        template: of the form. Its page names an image where the reader is given the empty form.
        empty: the empty form, uint8 [H, W], as its author has it.
        truth: what is in each field, "" for a blank one; a space for a blank box before the last character.
            Of a tick field, its options, joined by `SEPARATOR`.
        corners: of every box of each field, float32 [N, 4, 2]: top left, top right, bottom right, bottom
            left as the form is read, in px of the image.
        kind: one of `SCANS` or `PHOTOGRAPHS`.
        pen: what it was filled with.
    """

    image: NDArray[np.uint8]
    template: FormTemplate
    empty: NDArray[np.uint8]
    truth: dict[str, str]
    corners: dict[str, NDArray[np.float32]]
    kind: str
    pen: Pen


def box_labels(field: Field, text: str) -> tuple[str, ...]:
    """Return what is in each box of a field, from the left; "" for a blank.

    >>> from kalamos.forms.template import row_of_boxes
    >>> box_labels(Field("a", row_of_boxes(0, 0, 1, 1, count=3, step=1), direction="rtl"), "اب")
    ('', 'ب', 'ا')
    """
    if field.kind == "tick":
        ticked = text.split(SEPARATOR) if text else []
        return tuple("x" if option in ticked else "" for option in field.options)
    labels = [character.strip() for character in text.ljust(len(field.boxes))]
    return tuple(labels if field.direction == "ltr" else labels[::-1])


def random_truth(template: FormTemplate, generator: np.random.Generator) -> dict[str, str]:
    """Return what somebody writes into each field; some fields stay blank, others have room left."""
    return {
        each.name: "" if generator.random() < BLANK_SHARE else _random_text(each, generator)
        for each in template.fields
    }


def _random_text(field: Field, generator: np.random.Generator) -> str:
    count = len(field.boxes)
    if field.kind == "tick":
        several = 1 + int(generator.integers(0, count - 1)) if field.several else 1
        chosen = sorted(generator.choice(count, several, replace=False).tolist())
        return SEPARATOR.join(field.options[each] for each in chosen)
    if field.check == "luhn":
        digits = "".join(generator.choice(list(DIGITS), count - 1))
        return digits + luhn.calc_check_digit(digits)
    if field.name == "date":
        day, month = generator.integers(1, 29), generator.integers(1, 13)
        return f"{day:02}{month:02}{generator.integers(1950, 2030)}"
    if field.direction == "rtl":
        length = count if generator.random() < 0.6 else int(generator.integers(1, count + 1))
        return "".join(generator.choice(list(ARABIC), length))
    if field.charset == "ABCD":
        return "".join(generator.choice(list("ABCD"), count))
    if field.charset == "upper":
        if generator.random() < 0.3 or "name" in field.name:
            return str(generator.choice(NAMES))[:count].rstrip()
        return "".join(generator.choice(list(CAPITALS), count))
    length = count if generator.random() < 0.75 else int(generator.integers(1, count + 1))
    return "".join(generator.choice(list(DIGITS), length))


def fill(
    shape: tuple[int, int],
    template: FormTemplate,
    truth: dict[str, str],
    hands: Hands,
    pen: Pen,
    generator: np.random.Generator,
    *,
    page: int = 1,
) -> NDArray[np.uint8]:
    """Write into the boxes of a page.

    Args:
        shape: height and width of the page, in px.

    Returns:
        uint8 [H, W], how much ink covers each pixel.
    """
    layer = np.zeros(shape, np.uint8)
    scale = shape[1] / template.pages[page - 1].width
    pen_px = pen.width * shape[1] / page_size(template)[0]
    size = generator.uniform(0.58, 0.8)
    slant, sloppy = generator.normal(0, 0.06), generator.uniform(0.02, 0.07)
    for each in template.fields:
        if each.page != page:
            continue
        for box, label in zip(each.boxes, box_labels(each, truth[each.name]), strict=True):
            if not label:
                continue
            left, top, wide, tall = (side * scale for side in box)
            middle = np.array([left + wide / 2, top + tall / 2]) + generator.normal(0, sloppy, 2) * (
                wide,
                tall,
            )
            if each.kind == "tick":
                _tick(layer, middle, min(wide, tall), pen_px, generator)
                continue
            glyph = hands.choose(label, generator)
            length = size * generator.normal(1, 0.07) * tall
            if generator.random() < 0.05:  # touches or crosses a line
                length = generator.uniform(0.9, 1.08) * tall
            if glyph.framed:  # its frame's smaller side is the box's
                length = min(0.8 * wide, 0.72 * tall)
            lean, turn = slant + generator.normal(0, 0.03), generator.normal(0, 2)
            cover = write(glyph, length, pen_px, pen, slant=lean, turn=turn)
            most = generator.uniform(0.86, 1.02) * wide
            if cover.shape[1] > most:
                cover = write(glyph, length * most / cover.shape[1], pen_px, pen, slant=lean, turn=turn)
            stamp(layer, cover, middle[0] - cover.shape[1] / 2, middle[1] - cover.shape[0] / 2)
    return layer


def _tick(
    layer: NDArray[np.uint8],
    middle: NDArray[np.float64],
    side: float,
    pen_px: float,
    generator: np.random.Generator,
) -> None:
    """Cross, tick, slash or scribble a box in place; strokes may leave it a little."""
    reach = side * generator.uniform(0.3, 0.55)
    kind = generator.choice(["cross", "tick", "slash", "scribble"], p=[0.45, 0.3, 0.1, 0.15])
    strokes: list[list[tuple[float, float]]] = {
        "cross": [[(-1, -1), (1, 1)], [(1, -1), (-1, 1)]],
        "tick": [[(-1, 0.1), (-0.3, 0.8), (1.1, -1)]],
        "slash": [[(1, -1), (-1, 1)]],
        "scribble": [[(-0.8 + 0.2 * step, 0.8 * (-1) ** step) for step in range(9)]],
    }[str(kind)]
    for stroke in strokes:
        points = middle + reach * (np.array(stroke) + generator.normal(0, 0.1, (len(stroke), 2)))
        fixed = np.rint(points * 16).astype(np.int32)
        cv2.polylines(layer, [fixed], False, 255, max(1, round(pen_px)), cv2.LINE_AA, 4)


def true_boxes(
    template: FormTemplate, shape: tuple[int, int], shot: Shot, *, page: int = 1
) -> dict[str, NDArray[np.float32]]:
    """Return where the boxes of each field of a page are in a picture of it, float32 [N, 4, 2].

    Args:
        shape: height and width of the page, in px, before the picture was taken.
    """
    scale = shape[1] / template.pages[page - 1].width
    found = {}
    for each in template.fields:
        if each.page == page:
            ends = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in each.boxes]
            corners = np.array([[(x0, y0), (x1, y0), (x1, y1), (x0, y1)] for x0, y0, x1, y1 in ends])
            found[each.name] = shot.place(corners.reshape(-1, 2) * scale).reshape(-1, 4, 2).astype(np.float32)
    return found


def draw_sheet(kind: str, content: str, seed: int, *, hands: Hands | None = None) -> FilledSheet:
    """Draw, fill and scan or photograph a form at 200 dpi.

    Args:
        kind: one of `SCANS` or `PHOTOGRAPHS`.
        content: one of `CONTENTS`.
        seed: of the sheet. `SHEETS_A_FORM` in a row, from a multiple of it on, have the same template.
        hands: who fills it; by default, those of test splits.

    Raises:
        ValueError: no such kind or content.
        DatasetError: a dataset is absent.
    """
    if kind not in SCANS + PHOTOGRAPHS or content not in CONTENTS:
        raise ValueError(f"{kind!r} or {content!r} is none of the kinds or contents")
    form = seed // SHEETS_A_FORM
    template, printing = random_template(content, np.random.default_rng((1, CONTENTS.index(content), form)))
    generator = np.random.default_rng((2, zlib.crc32(f"{kind}/{content}".encode()), seed))
    empty = draw_empty(template, printing)
    truth, pen = random_truth(template, generator), random_pen(generator)
    layer = fill(empty.shape, template, truth, hands or held_out_hands(), pen, generator)
    page = printed(empty, generator)
    ink_in(page, layer, pen.level, pen.grain, generator)
    shot = (scan if kind in SCANS else photograph)(page, kind, generator)
    return FilledSheet(shot.image, template, empty, truth, true_boxes(template, empty.shape, shot), kind, pen)


def printed(empty: NDArray[np.uint8], generator: np.random.Generator) -> Floats:
    """Return paper with a form printed on it, float32 [H, W], grey levels in even light."""
    sheet = paper(empty.shape, generator.uniform(228, 250), generator.uniform(0.8, 3.0), generator)
    if generator.random() < 0.15:
        crease(sheet, generator)
    ink_in(sheet, 255 - empty, generator.uniform(15, 70), 0.0, generator)
    return sheet


# --------------------------------------------------------------------------------------------- looking


def overlay(image: NDArray[np.uint8], corners: Iterable[NDArray[np.float32]]) -> NDArray[np.uint8]:
    """Return a picture in colour with boxes drawn over it, their top sides in red."""
    seen = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    for each in corners:
        fixed = np.rint(each * 16).astype(np.int32)
        cv2.polylines(seen, list(fixed), True, (60, 160, 0), 1, cv2.LINE_AA, 4)
        cv2.polylines(seen, list(fixed[:, :2]), False, (0, 0, 230), 2, cv2.LINE_AA, 4)
    return seen


def save_sheet(sheet: FilledSheet, folder: Path, name: str, form: str) -> dict[str, object]:
    """Write NAME.png, its overlay, FORM.toml and FORM.png; return what is true of it, for a JSON file."""
    page = sheet.template.pages[0]
    if page.image:
        page = replace(page, image=f"{form}.png")
        cv2.imwrite(str(folder / page.image), sheet.empty)
    replace(sheet.template, pages=(page,)).save(folder / f"{form}.toml")
    cv2.imwrite(str(folder / f"{name}.png"), sheet.image)
    cv2.imwrite(str(folder / f"{name}-boxes.png"), overlay(sheet.image, sheet.corners.values()))
    boxes = {field: corners.round(1).tolist() for field, corners in sheet.corners.items()}
    return {
        "kind": sheet.kind,
        "form": f"{form}.toml",
        "pen": sheet.pen.name,
        "fields": sheet.truth,
        "boxes": boxes,
    }


def main() -> None:
    groups = {"scan": SCANS, "photograph": PHOTOGRAPHS, "all": SCANS + PHOTOGRAPHS}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kind", choices=[*groups, *SCANS, *PHOTOGRAPHS], default="all")
    parser.add_argument("--content", choices=CONTENTS, default="mixed")
    parser.add_argument("--n", type=int, default=8, help="sheets")
    parser.add_argument("--seed", type=int, default=0, help="of the first")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/forms"))
    given = parser.parse_args()
    kinds = groups.get(given.kind, (given.kind,))
    given.output.mkdir(parents=True, exist_ok=True)
    truths = {}
    for number in range(given.seed, given.seed + given.n):
        sheet = draw_sheet(kinds[number % len(kinds)], given.content, number)
        name, form = f"{given.content}-{number}", f"{given.content}-form-{number // SHEETS_A_FORM}"
        truths[f"{name}.png"] = save_sheet(sheet, given.output, name, form)
        print(f"{name}.png: {sheet.kind}, {sheet.pen.name}", flush=True)
    text = json.dumps(truths, ensure_ascii=False) + "\n"
    (given.output / "truth.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
