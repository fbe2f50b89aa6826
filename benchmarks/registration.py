"""How exactly printed forms are found on drawn scans: turned, photographed, photocopied, at 100 dpi.

Usage: python benchmarks/registration.py [--n 100] [--kinds turned,photograph] [--ways markers]
       [--strangers 100] [--twins 60] [--overlays]
Prints, for each kind of scan and each way to register, the error of the boxes' corners in shorter sides of
their box, and the share of scans that were not registered; and how many pages of other forms passed, twins
among them: forms with the same boxes and other words, which the image of the empty form tells. Draws
the worst of each to build/registration if asked for overlays. Needs no data: the boxes are filled with
scribbles, or with UNIPEN's characters where the data folder has them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.datasets.named import data_dir
from kalamos.datasets.strokes import StrokeSet, draw_line, read_strokes
from kalamos.errors import UnregisteredError
from kalamos.forms.field_list import parse_fields
from kalamos.forms.layout import layout_fields
from kalamos.forms.placing import refine_fields
from kalamos.forms.registration import Registrar
from kalamos.forms.sheet import print_sheet
from kalamos.forms.template import FormPage, FormTemplate

OVERLAYS: Final = Path(__file__).parent.parent / "build" / "registration"

Grey = NDArray[np.uint8]
Points = NDArray[np.float64]
Kind = Literal["turned", "quarter turns", "photograph", "photocopy", "100 dpi"]
Way = Literal["markers", "features", "frames"]
WAYS: Final[tuple[Way, ...]] = ("markers", "features", "frames")

MM: Final = 200 / 25.4
"""Px of a sheet at 200 dpi."""

LISTS: Final = (
    "student: 8 digits\nfamily name: 24 capitals\ngiven name: 16 capitals\nborn: 8 digits\nroom: 3 capitals\n"
    "answer 1: tick one of A | B | C | D\nanswer 2: tick one of A | B | C | D\nmark: 3 digits",
    "meter: 7 digits\nreading: 6 digits\nday: 8 digits\nhouse: 4 digits\nflat: 3 digits\n"
    "remarks: tick one of yes | no",
    "".join(f"question {number}: {1 + number % 5} digits\n" for number in range(1, 31)),
    "name: 18 letters\nstreet: 18 letters\ntown: 18 letters\npost code: 5 digits\ntelephone: 12 digits\n"
    "iban: 22 characters\npets: tick several of cat | dog | bird | fish | other\nmembers: 2 digits",
)
"""Of fields, for forms of 30 to 100 boxes."""


class Sheet(NamedTuple):
    """A printed form: its template with markers, one without, and one with the image of the empty form."""

    templates: dict[Way, FormTemplate]
    images: dict[Way, Grey]
    """At 200 dpi."""


@dataclass(frozen=True)
class Scan:
    """A drawn scan.

    Attributes:
        image: uint8 [H, W].
        place: what maps points in mm, float64 [N, 2], to px of the image.
    """

    image: Grey
    place: Callable[[Points], Points]


def sheets(folder: Path, lists: Sequence[str] = LISTS) -> Iterator[Sheet]:
    """Print each list with and without markers."""
    folder.mkdir(exist_ok=True)
    for number, text in enumerate(lists):
        form = layout_fields(parse_fields(text), name=f"form {number}")
        bare = replace(form, pages=tuple(FormPage(page.width, page.height) for page in form.pages))
        print_sheet(form, folder / f"{number}.pdf")
        print_sheet(bare, folder / f"{number}-bare.pdf", markers=False, code=False)
        image = render(folder / f"{number}-bare.pdf")
        cv2.imwrite(
            str(folder / f"{number}.png"),
            cv2.resize(image, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA),
        )
        pictured = replace(bare, pages=(replace(bare.pages[0], image=f"{number}.png"),), folder=str(folder))
        yield Sheet(
            {"markers": form, "features": pictured, "frames": bare},
            {"markers": render(folder / f"{number}.pdf"), "features": image, "frames": image},
        )


def render(pdf: Path, page: int = 0, dpi: float = 200) -> Grey:
    import pypdfium2

    document = pypdfium2.PdfDocument(pdf)
    return np.array(document[page].render(scale=dpi / 72).to_pil().convert("L"))


def fill(image: Grey, form: FormTemplate, rng: np.random.Generator, pens: StrokeSet | None) -> Grey:
    """Write into most boxes, here and there over their lines."""
    paper = image.copy()
    for field in form.fields:
        colour, width = int(rng.integers(10, 110)), float(rng.uniform(0.25, 0.7)) * MM
        for box in field.boxes:
            if rng.random() < (0.7 if field.kind == "tick" else 0.12):
                continue
            side = float(rng.uniform(0.55, 1.1)) * min(box.width, box.height) * MM
            glyph = _glyph(rng, pens, side, width)
            middle = np.array([box.x + box.width / 2, box.y + box.height / 2]) * MM + rng.normal(
                0, 0.08 * side, 2
            )
            left, top = (int(value) for value in middle - np.array(glyph.shape[::-1]) / 2)
            left, top = max(left, 0), max(top, 0)
            part = paper[top : top + glyph.shape[0], left : left + glyph.shape[1]]
            ink = glyph[: part.shape[0], : part.shape[1]].astype(np.float32) / 255
            part[:] = (part * (1 - ink) + np.minimum(part, colour) * ink).astype(np.uint8)
    return paper


def _glyph(rng: np.random.Generator, pens: StrokeSet | None, side: float, width: float) -> Grey:
    if pens is not None:
        return pens.draw(int(rng.integers(len(pens))), side=side, width=width)
    points = rng.uniform(0, side, (int(rng.integers(3, 7)), 2))
    image = np.zeros((int(side + 3 * width) + 2, int(side + 3 * width) + 2), np.uint8)
    draw_line(image, points + 1.5 * width, width)
    return image


def scan(paper: Grey, kind: Kind, rng: np.random.Generator) -> Scan:
    """Draw how a filled sheet at 200 dpi comes back."""
    if kind == "photograph":
        return _photograph(paper, rng)
    height, width = paper.shape
    scale, angle, stretch = 1.0, rng.uniform(-15, 15), np.ones(2)
    if kind == "quarter turns":
        angle = 90 * int(rng.integers(1, 4)) + rng.uniform(-3, 3)
    elif kind == "photocopy":
        angle, stretch = rng.uniform(-1.5, 1.5), 1 + rng.uniform(-0.03, 0.03, 2)
    elif kind == "100 dpi":
        scale, angle = 0.5, rng.uniform(-3, 3)
    turn = np.deg2rad(angle)
    linear = (
        scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag(stretch)
    )
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ linear.T
    size = np.ptp(corners, axis=0)
    shift = -corners.min(axis=0) + rng.uniform(-10, 10, 2)
    matrix = np.column_stack([linear, shift])
    if kind == "photocopy":  # the glass is as large as the paper
        size = np.array([width, height])
        matrix[:, 2] = size / 2 - linear @ np.array([width, height]) / 2 + rng.uniform(-10, 10, 2)
    ground = int(rng.choice([255, 245, 60, 20])) if kind != "photocopy" else 255
    blurred = cv2.GaussianBlur(paper, (0, 0), 0.8 / scale)
    image = cv2.warpAffine(
        blurred, matrix, [int(side) for side in size], flags=cv2.INTER_LINEAR, borderValue=ground
    ).astype(np.float32)
    if kind == "photocopy":
        image = _photocopied(image, rng)
    else:
        image = image * rng.uniform(0.85, 1) + _noise(image.shape, rng.uniform(1, 5), rng)
    return Scan(_as_jpeg(image, rng), lambda points: points * MM @ matrix[:, :2].T + matrix[:, 2])


def _noise(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> NDArray[np.float32]:
    return rng.standard_normal(shape, np.float32) * np.float32(sigma)


def _photocopied(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    noisy = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.2)) + _noise(image.shape, 14, rng)
    black = (noisy < rng.uniform(110, 190)).astype(np.uint8)
    specks = np.zeros(image.shape, np.uint8)
    specks[tuple(rng.integers(0, image.shape, (image.size // 5000, 2)).T)] = 1
    black |= cv2.dilate(specks, np.ones((2, 2), np.uint8))
    return 255 - 255 * cv2.GaussianBlur(black.astype(np.float32), (0, 0), 0.5)


def _photograph(paper: Grey, rng: np.random.Generator) -> Scan:
    """Photograph a sheet that bends, in perspective, with a shadow, on a table."""
    height, width = paper.shape
    size = np.array([int(width * rng.uniform(1.1, 1.3)), int(height * rng.uniform(1.1, 1.25))])
    inset = (size - (width, height)) / 2
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    seen = flat + inset + rng.uniform(-0.055, 0.055, (4, 2)) * width
    turns = int(rng.choice([0, 0, 0, 0, 1, 2, 3]))
    if turns:
        middle, angle = size / 2, np.pi / 2 * turns
        turned = (seen - middle) @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        size = size[::-1] if turns % 2 else size
        seen = turned + size / 2
    matrix = cv2.getPerspectiveTransform(flat.astype(np.float32), seen.astype(np.float32))
    back = np.linalg.inv(matrix)
    bend, phase, lean = rng.uniform(-0.012, 0.012) * height, rng.uniform(0, np.pi), rng.uniform(-1, 1)

    def bent(points: Points) -> Points:
        """Where on the flat picture the sheet's points are drawn from."""
        x, y = points[..., 0] / width, points[..., 1] / height
        wave = bend * np.sin(np.pi * (x + 0.3 * lean * y) * 1.3 + phase)
        return np.stack([points[..., 0] + 0.25 * wave, points[..., 1] + wave], axis=-1)

    whole = [int(side) for side in size]
    # Each 8th point is computed, those between are linear to a hundredth of a px.
    coarse = np.stack(np.meshgrid(*(np.arange(-8.0, side + 16, 8) for side in size)), axis=-1)
    steps = np.stack(np.meshgrid(*(np.arange(side, dtype=np.float32) / 8 + 1 for side in whole)), axis=-1)
    sources = cv2.remap(bent(_projected(coarse, back)).astype(np.float32), steps, None, cv2.INTER_LINEAR)
    image = cv2.remap(
        cv2.GaussianBlur(paper, (0, 0), rng.uniform(0.6, 1.3)), sources, None, cv2.INTER_LINEAR, borderValue=0
    ).astype(np.float32)
    inside = (sources >= 0).all(-1) & (sources < (width - 1, height - 1)).all(-1)
    wood = cv2.resize(rng.normal(0, 1, (40, 9)).astype(np.float32), whole)
    image = np.where(inside, image, np.float32(rng.uniform(40, 150)) + 18 * wood)
    shade = cv2.resize(
        rng.uniform(0.62, 1, (3, 3)).astype(np.float32), (24, 32), interpolation=cv2.INTER_CUBIC
    )
    line, depth = rng.normal(0, 1, 2), rng.uniform(0.6, 1)
    edge = np.add.outer(np.linspace(-1, 1, 32) * line[1], np.linspace(-1, 1, 24) * line[0])
    edge = cv2.resize(edge.astype(np.float32), whole)
    shade = cv2.resize(shade, whole) * np.where(edge > rng.uniform(-1, 1), 1, depth).astype(np.float32)
    image = image * cv2.blur(shade, (25, 25)) * 0.95
    image = image + _noise(image.shape, rng.uniform(2, 6), rng)

    def place(points: Points) -> Points:
        flat_points = points * MM
        guess = flat_points.copy()
        for _ in range(30):  # the inverse of `bent`, which moves points by little
            guess = guess - (bent(guess) - flat_points)
        return _projected(guess, matrix)

    return Scan(_as_jpeg(image, rng), place)


def _projected(points: Points, matrix: NDArray[np.float64]) -> Points:
    homogeneous = points @ matrix[:, :2].T + matrix[:, 2]
    return homogeneous[..., :2] / homogeneous[..., 2:]


def _as_jpeg(image: NDArray[np.float32], rng: np.random.Generator) -> Grey:
    content = cv2.imencode(
        ".jpg", np.clip(image, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 95))]
    )[1]
    return cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)


@dataclass
class Figures:
    """What was measured of one kind of scan and one way."""

    errors: list[NDArray[np.float64]]
    """Of corners, in shorter sides of their box, for each scan."""

    seconds: list[float]
    fits: list[float]
    tried: int = 0

    def row(self) -> str:
        lost = 1 - len(self.errors) / self.tried
        if not self.errors:
            return f"- | - | - | {lost:.1%} | -"
        every = np.concatenate(self.errors)
        wrong = float(np.mean([np.median(error) > 0.25 for error in self.errors]))
        return (
            f"{every.mean():.3f} | {np.quantile(every, 0.99):.3f} | {wrong:.1%} | {lost:.1%} | "
            f"{min(self.fits):.2f} | {np.median(self.seconds):.2f}"
        )


def measure(
    sheets: Sequence[Sheet],
    kind: Kind,
    ways: Sequence[Way],
    n: int,
    *,
    pens: StrokeSet | None,
    keep: Callable[[str, Scan, FormTemplate, NDArray[np.float32]], None] | None = None,
) -> dict[Way, Figures]:
    """Register and refine `n` scans of a kind in each way, the same ones but for the markers."""
    registrars = {way: [Registrar(sheet.templates[way]) for sheet in sheets] for way in ways}
    measured = {way: Figures([], [], []) for way in ways}
    for number in range(n):
        sheet = sheets[number % len(sheets)]
        drawn: dict[bool, Scan] = {}
        for way, figures in measured.items():
            marked = way == "markers"
            if marked not in drawn:
                rng = np.random.default_rng([number, *kind.encode()])
                drawn[marked] = scan(fill(sheet.images[way], sheet.templates[way], rng, pens), kind, rng)
            corners = _measure_one(figures, registrars[way][number % len(sheets)], drawn[marked])
            if corners is None or figures.errors[-1].max() >= max(error.max() for error in figures.errors):
                name = f"{kind} {way} " + (f"{number} lost" if corners is None else "worst")
                found = np.zeros((0, 4, 2), np.float32) if corners is None else corners
                if keep is not None:
                    keep(name, drawn[marked], sheet.templates[way], found)
    return measured


def _measure_one(figures: Figures, registrar: Registrar, seen: Scan) -> NDArray[np.float32] | None:
    """Add one scan to the figures, and return the boxes' corners if it was registered."""
    template = registrar.template
    figures.tried += 1
    start = time.process_time()
    try:
        found = registrar.register(seen.image)
    except UnregisteredError as error:
        print(f"scan {figures.tried}: {error}", file=sys.stderr)
        return None
    corners = np.concatenate(refine_fields(seen.image, found, template.fields))
    figures.seconds.append(time.process_time() - start)
    figures.fits.append(found.fit)
    true = seen.place(corners_of(template).reshape(-1, 2)).reshape(-1, 4, 2)
    sides = np.linalg.norm(true - np.roll(true, -1, axis=1), axis=-1).min(axis=1)
    figures.errors.append((np.linalg.norm(corners - true, axis=-1) / sides[:, None]).ravel())
    return corners


def measure_strangers(
    sheets: Sequence[Sheet], way: Way, n: int, *, pens: StrokeSet | None
) -> tuple[list[float], int]:
    """Return how well scans of one form, their code torn off, fit another; and how many pass for it."""
    fits, passed = [], 0
    kinds: Final = get_args(Kind)
    for number in range(n):
        rng = np.random.default_rng([number, 99])
        sheet, other = sheets[number % len(sheets)], sheets[(number + 1 + number // 4 % 3) % len(sheets)]
        paper = fill(sheet.images[way], sheet.templates[way], rng, pens)
        paper[: int(26 * MM), int(160 * MM) : int(190 * MM)] = 255
        seen = scan(paper, kinds[number % len(kinds)], rng)
        try:
            fits.append(Registrar(other.templates[way]).register(seen.image).fit)
            passed += 1
        except UnregisteredError as error:
            fits.append(error.fit)
    return fits, passed


def measure_twins(folder: Path, n: int, *, pens: StrokeSet | None) -> tuple[int, int]:
    """Return how many scans of twins pass for a form whose image is known, and how many of its own do."""
    kinds: Final = get_args(Kind)
    printed = list(sheets(folder))
    # The letters of the names in reverse: as wide, so that the boxes stay where they are.
    twins = list(sheets(folder / "twins", tuple(_reversed_names(text) for text in LISTS)))
    passed, own = 0, 0
    for number in range(n):
        at, kind = number % len(printed), kinds[number % len(kinds)]
        sheet, twin = printed[at], twins[at]
        registrar = Registrar(sheet.templates["features"])
        for other in (False, True):
            image = (twin if other else sheet).images["features"]
            rng = np.random.default_rng([number, 7])
            seen = scan(fill(image, sheet.templates["features"], rng, pens), kind, rng)
            try:
                registrar.register(seen.image)
            except UnregisteredError as error:
                if not other:
                    print(f"own scan {number}, {kind}: {error}", file=sys.stderr)
                continue
            passed, own = passed + other, own + (not other)
    return passed, own


def _reversed_names(text: str) -> str:
    """Reverse the letters of each field's name.

    >>> _reversed_names("mark: 3 digits")
    'kram: 3 digits'
    """
    pairs = (line.partition(":") for line in text.splitlines())
    return "\n".join(name[::-1] + colon + rest for name, colon, rest in pairs)


def corners_of(form: FormTemplate) -> Points:
    """Return the corners of all boxes of a form of one page, float64 [N, 4, 2]."""
    boxes = np.array([box for field in form.fields for box in field.boxes], np.float64)
    x, y, width, height = boxes.T
    right, bottom = x + width, y + height
    return np.stack([np.stack([x, right, right, x], 1), np.stack([y, y, bottom, bottom], 1)], 2)


def keep_overlay(name: str, seen: Scan, template: FormTemplate, corners: NDArray[np.float32]) -> None:
    """Draw the truth in green and what was found in red."""
    OVERLAYS.mkdir(parents=True, exist_ok=True)
    picture = cv2.cvtColor(seen.image, cv2.COLOR_GRAY2BGR)
    true = seen.place(corners_of(template).reshape(-1, 2)).reshape(-1, 4, 2)
    for boxes, colour in ((true, (0, 170, 0)), (corners, (0, 0, 255))):
        lines = [np.rint(box * 16).astype(np.int32) for box in boxes]
        cv2.polylines(picture, lines, True, colour, 1, cv2.LINE_AA, 4)
    cv2.imwrite(str(OVERLAYS / f"{name.replace(' ', '-')}.png"), picture)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=100, help="scans of each kind")
    parser.add_argument("--kinds", default=",".join(get_args(Kind)))
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--strangers", type=int, default=0, help="scans of other forms")
    parser.add_argument("--twins", type=int, default=0, help="scans of forms with the same boxes")
    parser.add_argument("--overlays", action="store_true")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    strokes = data_dir() / "unipen-train.npz"
    pens = read_strokes(strokes) if strokes.exists() else None
    with tempfile.TemporaryDirectory() as folder:
        printed = list(sheets(Path(folder)))
        print("| scan | by | error, mean | 99th percentile | wrong | unregistered | least fit | seconds |")
        print("|---|---|---|---|---|---|---|---|")
        for kind in filter(None, asked.kinds.split(",")):
            keep = keep_overlay if asked.overlays else None
            measured = measure(printed, kind, asked.ways.split(","), asked.n, pens=pens, keep=keep)
            for way, figures in measured.items():
                print(f"| {kind} | {way} | {figures.row()} |", flush=True)
        if asked.strangers:
            for way in asked.ways.split(","):
                fits, passed = measure_strangers(printed, way, asked.strangers, pens=pens)
                print(f"others by {way}: fit {np.mean(fits):.2f}, at most {max(fits):.2f}; passed {passed}")
        if asked.twins:
            passed, own = measure_twins(Path(folder), asked.twins, pens=pens)
            print(f"twins: {passed} of {asked.twins} passed, and {own} of as many of the form's own")


if __name__ == "__main__":
    main()
