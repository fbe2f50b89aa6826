"""Where a template's page lies on a scan or photograph: by its markers, its print, or its boxes' pattern.

The ways are tried in this order, and each is judged alike: by the share of the boxes' sides whose lines are
seen on the scan. That is the scan's `fit`; a scan that reaches `MIN_FIT` in no way is not of this form,
unless the form's code or the empty form's words are seen on it: copiers lose pale lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import FormError, ImageError, InvalidArrayError, UnregisteredError
from kalamos.forms.bends import find_bent_outlines
from kalamos.forms.features import Features, form_features, match_features, scan_features
from kalamos.forms.frames import (
    SAME_SIDES,
    FrameFinder,
    are_same_place,
    find_frames,
    half_turn_of,
    look_for_frames,
    match_boxes,
)
from kalamos.forms.geometry import (
    Grey,
    Matrix,
    box_corners,
    is_possible_view,
    project,
    rms,
    sides_of,
    square_sides,
)
from kalamos.forms.layout import code_place, sheet_code
from kalamos.forms.markers import MARKER_LONG_SIDES, Marks, find_markers, fit_marks, marks_of, read_code
from kalamos.forms.outlines import Outlines, find_outlines
from kalamos.forms.strangers import (
    FEWEST_WORDS,
    MIN_SEEN_WORDS,
    SEEN_WORD,
    Words,
    lacking_boxes,
    lacking_words,
    named_fields,
    seen_words,
    unseen_fields,
    words_of,
)
from kalamos.forms.template import Box, FormPage, FormTemplate
from kalamos.images import load_grey

__all__ = ["MIN_FIT", "Method", "Registrar", "Registration", "register"]

Method = Literal["markers", "features", "frames"]

MIN_FIT: Final = 0.6
"""The share of box sides that must be seen: scans of the form have 0.92 and more, of others mostly 0.2 to 0.6
 (`benchmarks/registration.py`)."""

MOST_STRANGE, FEWEST_STRANGE = 0.5, 8
"""The share, and the number, of boxes that the form does not have, from which on a scan shows another one."""

ENOUGH_WORDS: Final = 0.75
"""The share of the empty form's words that must be seen on a scan whose boxes' lines are not."""

ENOUGH_MARKERS: Final = 3
"""Markers that must be seen, each in its place, on a sheet that is known by its code alone."""

SURE_FIT: Final = 0.9
"""From here on no other way is tried."""

LIKELY_FIT: Final = 0.85
"""From here on a place may be the right one though another fits better, the other way up: pages bend."""

SAME_FIT, MUCH_FIT = 0.012, 0.05
"""Fits that differ by less are no reason to prefer one; by more they are, though more scans are upright."""

ENOUGH_INLIERS: Final = 40
"""From here on a page without boxes fits in full."""

_PREFIX: Final = "kalamos:"


@dataclass(frozen=True, eq=False)
class Registration:
    """Where a page lies on a scan.

    Attributes:
        page: of the template, from 1.
        homography: float64 [3, 3], template units -> px of the scan.
        method: what it was found by.
        error: by how many px of the scan, as root mean square, the boxes lie elsewhere than the homography
            has them; on a page without boxes, the markers' corners. A bent page has more, which
            `kalamos.forms.placing` mends.
        fit: the share of the boxes' sides whose line is seen, 0 to 1.
        sheet: the sheet's number, if its code was read.
        others: other places that fit as well, for boxes lie alike upside down and nothing printed is known to
            tell them apart; what is written may.
    """

    page: int
    homography: Matrix
    method: Method
    error: float
    fit: float
    sheet: str | None = None
    others: tuple[Registration, ...] = ()

    @property
    def marked(self) -> bool:
        """Whether markers or print tell where the page lies, rather than its boxes alone."""
        return self.method != "frames"

    def corners_of(self, box: Box) -> NDArray[np.float32]:
        """Return a box's corners, float32 [4, 2], px, clockwise from the template's top left.

        >>> found = Registration(1, np.diag([2.0, 2.0, 1.0]), "markers", 0.0, 1.0)
        >>> found.corners_of(Box(10, 20, 5, 5))[0].tolist()
        [20.0, 40.0]
        """
        return np.asarray(project(self.homography, box_corners([box]))[0], np.float32)

    @property
    def quarter_turns(self) -> int:
        """By how many quarters the page is turned, either way: 0 to 2.

        >>> Registration(1, np.diag([-2.0, -2.0, 1.0]), "frames", 0.0, 1.0).quarter_turns
        2
        """
        return abs(round(float(np.arctan2(self.homography[1, 0], self.homography[0, 0])) / (np.pi / 2)))


@dataclass
class _Seen:
    """A scan, whose frames are looked for at most once."""

    scan: Grey
    finder: FrameFinder
    marked: list[Registration] = field(default_factory=list)
    """Places that `ENOUGH_MARKERS` markers agree on."""

    @cached_property
    def frames(self) -> NDArray[np.float32]:
        return self.finder(self.scan)


class Registrar:
    """Registers many scans of one form; what the form alone gives is computed once.

    Args:
        template: of the form.
        frame_finder: finds frames on a scan, where neither markers nor the empty form's image help.

    Raises:
        FormError: later, at the first scan that needs it: an image of the empty form cannot be read.
    """

    def __init__(self, template: FormTemplate, *, frame_finder: FrameFinder = find_frames) -> None:
        self.template = template
        self._find_frames = frame_finder
        self._boxes = [
            box_corners([box for each in template.fields if each.page == number for box in each.boxes])
            for number in range(1, len(template.pages) + 1)
        ]
        self._half_turns = [half_turn_of(each) for each in self._boxes]
        self._counts = [
            [len(each.boxes) for each in template.fields if each.page == number]
            for number in range(1, len(template.pages) + 1)
        ]

    def register(self, scan: Grey, *, page: int | None = None) -> Registration:
        """Find where and which page of the form a scan shows, turned as it may be.

        Args:
            scan: uint8 [H, W], dark lines on bright paper.
            page: which page it is, from 1, if that is known.

        Raises:
            UnregisteredError: it shows none of the form's pages, or a sheet of another form; its `fit` says
                how near it came.
            InvalidArrayError: `scan` is not uint8 [H, W].
            FormError: there is no such page.
        """
        if scan.ndim != 2 or scan.dtype != np.uint8 or min(scan.shape) < 1:
            raise InvalidArrayError(f"a scan is uint8 [H, W], not {scan.dtype} {list(scan.shape)}")
        if page is not None and not 1 <= page <= len(self.template.pages):
            raise FormError(f"form {self.template.name!r} has no page {page}")
        pages = range(1, len(self.template.pages) + 1) if page is None else [page]
        every: list[Registration] = []
        refusals: list[UnregisteredError] = []
        seen = _Seen(scan, self._find_frames)
        for way in (self._by_markers, self._by_features, self._by_frames):
            every += filter(None, way(seen, pages))
            found = self._of_this_form(seen, every, SURE_FIT, refusals)
            if found is not None:
                return found
        found = self._of_this_form(seen, every, MIN_FIT, refusals)
        if found is not None:
            return found
        if refusals:
            raise refusals[0]
        pale = self._by_code(seen) or self._by_words(scan, every)
        if pale is not None:
            return replace(pale, sheet=self._read_code(scan, pale))
        fit = max((each.fit for each in every), default=0.0)
        raise UnregisteredError(
            f"shows no page of form {self.template.name!r}: {fit:.0%} of its boxes' lines are seen, "
            f"and at least {MIN_FIT:.0%} must be",
            remedy="is it another form, or cut off, or blurred?",
            fit=fit,
        )

    def _of_this_form(
        self, seen: _Seen, every: list[Registration], least: float, refusals: list[UnregisteredError]
    ) -> Registration | None:
        """Return the best place that fits at least so well and shows this form; drop those that do not.

        Markers may have led a page that bends to the boxes beside its own; faint lines may be seen a little
        better upside down.
        """
        while (best := _best(every)) is not None and best.fit >= least:
            found = replace(best, method=self._told_by(best, every), sheet=self._read_code(seen.scan, best))
            try:
                # What one way lacks, another may have beyond the scan's edge.
                for each in (found, *found.others) if best.fit < SURE_FIT else (found,):
                    self._check_form(seen, each)
            except UnregisteredError as error:
                refusals.append(error)
                every.remove(best)
            else:
                return found
        return None

    def _told_by(self, best: Registration, every: Sequence[Registration]) -> Method:
        """Return what tells a place: markers or print rather than boxes, if they have it in the same one."""
        boxes, others = self._boxes[best.page - 1], (each for each in every if each.page == best.page)
        alike = (each for each in others if are_same_place(each.homography, best.homography, boxes))
        return best.method if best.marked else next(alike).method

    def _check_form(self, seen: _Seen, found: Registration) -> None:
        """See whether a scan without the form's code shows another form.

        Raises:
            UnregisteredError: it does.
        """
        if found.sheet is None:
            self._check_strange_boxes(seen, found)
            self._check_same_form(seen.scan, found)

    def _check_strange_boxes(self, seen: _Seen, found: Registration) -> None:
        """Refuse a scan with many boxes that the form does not have: forms of one make share many places.

        Raises:
            UnregisteredError: there are too many.
        """
        page = self.template.pages[found.page - 1]
        frames = seen.frames
        known = self._known_on(seen.scan, found)
        if not len(frames) or not len(known):
            return
        corners = box_corners([Box(0, 0, page.width, page.height)])
        edge = project(found.homography, corners)[0].astype(np.float32)
        middles = frames.mean(axis=1)
        on_page = [cv2.pointPolygonTest(edge, tuple(map(float, middle)), False) >= 0 for middle in middles]
        sides, known_sides = sides_of(frames), sides_of(known)
        away = np.linalg.norm(middles[:, None] - known.mean(axis=1), axis=-1) / square_sides(known)
        ratios = np.log(np.maximum(sides[:, None], 1) / known_sides)
        alike: NDArray[np.bool_] = np.all(np.abs(ratios) < SAME_SIDES, axis=-1)
        # Frames of other sizes than the fields' boxes may be letters or words.
        boxlike = alike[:, : len(self._boxes[found.page - 1]) or None].any(axis=1)
        ours = (alike & (away < 0.4)).any(axis=1) & boxlike
        # What lies within a box is writing.
        strange = on_page & ~(away < 0.6).any(axis=1) & boxlike
        if strange.sum() >= FEWEST_STRANGE and strange.sum() > MOST_STRANGE * (strange | ours).sum():
            raise UnregisteredError(
                f"shows another form than {self.template.name!r}: {strange.sum()} boxes where it has none",
                remedy="if it has them, draft the template from its image, so that they are known",
                fit=found.fit,
            )

    def _check_same_form(self, scan: Grey, found: Registration) -> None:
        """Refuse a scan whose boxes lie where the form has them, and whose print or whose other boxes do not.

        Raises:
            UnregisteredError: it shows another form.
        """
        boxes = self._boxes[found.page - 1]
        if not len(boxes):
            return
        outlines = self._outlines(scan, found)
        counts = self._counts[found.page - 1]
        words = self._words[found.page - 1]
        if words is None:
            why = lacking_boxes(scan, outlines, counts)
        else:
            seen = seen_words(scan, words, found.homography, boxes, outlines.moved)
            named = named_fields(words, seen, boxes, counts)
            why = lacking_boxes(scan, outlines, counts, named) or lacking_words(seen)
        if why:
            raise UnregisteredError(
                f"shows another form than {self.template.name!r}: {why}",
                remedy="read it with its own template, drafted from its image; if it is this form in new "
                "words, put its new image in the old one's place",
                fit=found.fit,
            )

    def _by_words(self, scan: Grey, every: Sequence[Registration]) -> Registration | None:
        """Choose the place at which the form's words are seen, whose boxes' lines a copier may have lost."""
        shares = [(self._share_of_words(scan, found), found) for found in every if found.marked]
        share, best = max(shares, key=lambda each: each[0], default=(0.0, None))
        return best if share >= ENOUGH_WORDS else None

    def _share_of_words(self, scan: Grey, found: Registration) -> float:
        """Return which share of a page's words are seen at a place, in [0, 1]; 0 where too few are known."""
        words, boxes = self._words[found.page - 1], self._boxes[found.page - 1]
        if words is None or not self._has_words(found.page):
            return 0.0
        # What is seen of fewer lines is by chance.
        moved = self._outlines(scan, found).moved if found.fit >= MIN_FIT else None
        seen = seen_words(scan, words, found.homography, boxes, moved)
        return float((seen.likeness >= SEEN_WORD).mean())

    def _has_words(self, number: int) -> bool:
        words = self._words[number - 1]
        return words is not None and len(words.boxes) >= FEWEST_WORDS

    @cached_property
    def _words(self) -> list[Words | None]:
        """The words of each page whose empty form's image is known."""
        every: list[Words | None] = []
        for page, boxes in zip(self.template.pages, self._boxes, strict=True):
            image = _image_of(self.template, page)
            every.append(None if image is None else words_of(image, (page.width, page.height), boxes))
        return every

    def _known_on(self, scan: Grey, found: Registration) -> NDArray[np.float64]:
        """Return where a scan has what its page has, moved as the fields' boxes next to it are."""
        known = project(found.homography, self._known_boxes[found.page - 1])
        own = project(found.homography, self._boxes[found.page - 1])
        if not len(own) or not len(known) or found.fit < MIN_FIT:  # what is seen of lines is by chance
            return known
        moved = self._outlines(scan, found).moved
        away = np.linalg.norm(known.mean(axis=1)[:, None] - own.mean(axis=1), axis=-1)
        return np.asarray(known + moved[away.argmin(axis=1)][:, None], np.float64)

    @cached_property
    def _known_boxes(self) -> list[NDArray[np.float64]]:
        """What each page has, fields' boxes and the others of the empty form's image."""
        known = []
        for page, boxes in zip(self.template.pages, self._boxes, strict=True):
            known.append(boxes)
            image = _image_of(self.template, page)
            if image is not None:
                units = np.array([page.width / image.shape[1], page.height / image.shape[0]])
                known[-1] = np.concatenate([boxes, (self._find_frames(image) + 0.5) * units])
        return known

    def _judged(self, scan: Grey, number: int, matrix: Matrix, method: Method) -> Registration | None:
        """See how well a homography fits; None if no camera sees a page so."""
        if not is_possible_view(matrix, self.template.pages[number - 1], scan):
            return None
        placed = Registration(number, matrix, method, 0.0, 1.0)
        if not len(self._boxes[number - 1]):
            return placed
        outlines = self._outlines(scan, placed)
        return replace(placed, error=rms(outlines.moved), fit=outlines.fit)

    def _outlines(self, scan: Grey, placed: Registration) -> Outlines:
        """Find a page's boxes by their own lines, which may bend."""
        boxes, counts = self._boxes[placed.page - 1], self._counts[placed.page - 1]
        predicted = project(placed.homography, boxes)
        return find_bent_outlines(scan, predicted, counts, marked=placed.marked)

    def _bettered(self, scan: Grey, found: Registration) -> Registration:
        """Fit the homography to the boxes as they were found, for as long as that shows more of them."""
        boxes = self._boxes[found.page - 1]
        for _ in range(1 if found.fit > SURE_FIT else 4):
            outlines = find_outlines(scan, project(found.homography, boxes))
            matrix = _refitted(self.template.pages[found.page - 1], found.homography, boxes, outlines)
            better = self._judged(scan, found.page, matrix, found.method)
            if better is None or better.fit < found.fit - 0.02:
                break
            found = better
        return found

    # Markers

    def _by_markers(self, seen: _Seen, pages: Sequence[int]) -> Iterator[Registration | None]:
        wanted = [number for number in pages if len(self.template.pages[number - 1].markers) >= 2]
        if not wanted:
            return
        scan = seen.scan
        marks: dict[int, Marks] = {}
        for long_side in MARKER_LONG_SIDES:
            markers = find_markers(scan, long_side)
            marks = {number: marks_of(self.template.pages[number - 1].markers, markers) for number in wanted}
            if max(len(each.seen) for each in marks.values()) >= 3 or max(scan.shape) < 2 * long_side:
                break
        most = max(len(each.seen) for each in marks.values())
        for number, each in marks.items():
            if len(each.seen) < max(2, most):
                continue
            placed = fit_marks(each, scan)
            if placed is None:
                continue
            matrix, kept = placed
            found = self._judged(scan, number, matrix, "markers")
            if found is not None and not len(self._boxes[number - 1]):
                found = replace(found, error=rms(project(matrix, kept.printed) - kept.seen))
            if found is not None and len(kept.seen) >= ENOUGH_MARKERS:
                seen.marked.append(found)
            # Two markers say next to nothing of perspective.
            yield found if found is None or len(kept.seen) > 2 else self._bettered(scan, found)

    def _by_code(self, seen: _Seen) -> Registration | None:
        """Choose the place that a page's markers agree on, if the sheet's code says that it is of this form.

        Raises:
            UnregisteredError: the code says another form's name.
        """
        coded = (found for found in seen.marked if self._read_code(seen.scan, found) is not None)
        return next(coded, None)

    # Features

    def _by_features(self, seen: _Seen, pages: Sequence[int]) -> Iterator[Registration | None]:
        pictured = [number for number in pages if self._features[number - 1] is not None]
        if not pictured:
            return
        scan = seen.scan
        features = scan_features(scan)
        if features is None:
            return
        for number in pictured:
            printed = self._features[number - 1]
            matched = None if printed is None else match_features(printed, features)
            if matched is None:
                continue
            matrix, inliers = matched
            found = self._judged(scan, number, matrix, "features")
            if found is not None and not len(self._boxes[number - 1]):
                found = replace(found, fit=min(1.0, inliers / ENOUGH_INLIERS))
            better = found and self._bettered(scan, found)
            # Of next to no lines that are seen, nothing is bettered.
            yield better if better is not None and better.fit >= MIN_FIT else found

    @cached_property
    def _features(self) -> list[Features | None]:
        every: list[Features | None] = []
        for page, boxes in zip(self.template.pages, self._boxes, strict=True):
            image = _image_of(self.template, page)
            every.append(None if image is None else form_features(image, (page.width, page.height), boxes))
        return every

    # Frames

    def _by_frames(self, seen: _Seen, pages: Sequence[int]) -> Iterator[Registration | None]:
        scan = seen.scan
        places: dict[int, list[Registration]] = {number: [] for number in pages}
        for frames in look_for_frames(scan, self._find_frames, first=seen.frames):
            for number in pages:
                places[number] += self._places(scan, number, frames)
            likeliest = [self._likeliest(scan, found) for found in places.values() if found]
            if any(self._is_plain(scan, ways[0]) for ways in likeliest):
                break
        for ways in likeliest:
            first, *others = (self._bettered(scan, each) for each in ways)
            yield replace(first, others=tuple(others))

    def _likeliest(self, scan: Grey, places: Sequence[Registration]) -> list[Registration]:
        """Choose a page's place; or several, of boxes that lie alike upside down and where no word tells."""
        boxes = self._boxes[places[0].page - 1]
        ranked: list[Registration] = []
        for each in sorted(places, key=lambda each: -each.fit):
            if not any(are_same_place(each.homography, other.homography, boxes) for other in ranked):
                ranked.append(each)
        best = ranked[0]
        alike = [each for each in ranked if each.fit > best.fit - SAME_FIT]
        if self._has_words(best.page):
            for each in ranked:
                if each.fit >= MIN_FIT and self._share_of_words(scan, each) >= MIN_SEEN_WORDS:
                    return [each]
            alike.sort(key=lambda each: (-self._share_of_words(scan, each), each.quarter_turns))
            return alike[:1]
        ways = {each.quarter_turns for each in alike}
        # How well lines are seen does not tell which way up boxes lie that lie alike; nor if the page bends.
        least = LIKELY_FIT if self._half_turns[best.page - 1] is None else MIN_FIT
        alike += [each for each in ranked if each.fit >= least and each.quarter_turns not in ways][:1]
        # More scans are upright.
        return sorted(alike, key=lambda each: (each.fit < best.fit - MUCH_FIT, each.quarter_turns))

    def _is_plain(self, scan: Grey, found: Registration) -> bool:
        """Whether a place fits well, shows its words, and leaves no field without lines as next rows do."""
        counts = self._counts[found.page - 1]
        if found.fit < SURE_FIT or not counts:
            return found.fit >= SURE_FIT
        if self._has_words(found.page) and self._share_of_words(scan, found) < MIN_SEEN_WORDS:
            return False
        return not unseen_fields(self._outlines(scan, found), counts).any()

    def _places(self, scan: Grey, number: int, frames: NDArray[np.float32]) -> list[Registration]:
        """Return where a page's boxes may lie among frames."""
        matches = match_boxes(self._boxes[number - 1], frames)
        judged = [self._judged(scan, number, each.homography, "frames") for each in matches]
        places = sorted(filter(None, judged), key=lambda each: -each.fit)
        half_turn = self._half_turns[number - 1]
        if places and half_turn is not None:
            turned = self._judged(scan, number, places[0].homography @ half_turn, "frames")
            places += [] if turned is None else [turned]
        if places and places[0].fit < SURE_FIT:
            places = [self._bettered(scan, each) for each in places]
        return places

    # The code

    def _read_code(self, scan: Grey, found: Registration) -> str | None:
        """Read a printed sheet's number.

        Raises:
            UnregisteredError: the code says another form's name.
        """
        page = self.template.pages[found.page - 1]
        place = code_place(self.template, found.page) if page.markers else None
        if place is None:
            return None
        text = read_code(scan, found.homography, place)
        if not text.startswith(_PREFIX) or text.count(":") < 3:
            return None
        start, sheet = text.rsplit(":", 1)
        expected = sheet_code(self.template.name, found.page, 0).rsplit(":", 1)[0]
        if start == expected:
            return sheet
        name = start.removeprefix(_PREFIX).rpartition(":")[0]
        raise UnregisteredError(
            f"is a sheet of form {name!r}, not page {found.page} of {self.template.name!r}",
            remedy="read it with its own template",
            fit=found.fit,
        )


def register(scan: Grey, template: FormTemplate, *, page: int | None = None) -> Registration:
    """Find where a template's page lies on one scan, as `Registrar.register` does for many.

    >>> from kalamos.forms.template import Field, row_of_boxes
    >>> scan = np.full((300, 400), 255, np.uint8)
    >>> boxes = row_of_boxes(40, 60, 30, 40, count=5, step=38)
    >>> boxes += row_of_boxes(40, 150, 30, 40, count=3, step=38)
    >>> for x, y, width, height in boxes:
    ...     _ = cv2.rectangle(scan, (x, y), (x + width, y + height), 0, 2)
    >>> form = FormTemplate("exam", (FormPage(400, 300),), (Field("mark", boxes),))
    >>> found = register(np.rot90(scan, 2).copy(), form)
    >>> found.method, found.fit, bool(np.abs(found.corners_of(boxes[0])[0] - (359, 239)).max() < 1)
    ('frames', 1.0, True)
    """
    return Registrar(template).register(scan, page=page)


def _best(every: Sequence[Registration]) -> Registration | None:
    """Return the place that fits best; of those that fit nearly alike, the first."""
    best: Registration | None = None
    for each in every:
        if best is None or each.fit > best.fit + 0.02:
            best = each
    return best


def _refitted(page: FormPage, matrix: Matrix, boxes: NDArray[np.float64], outlines: Outlines) -> Matrix:
    """Fit the homography to boxes as found; the page's corners hold it where boxes do not."""
    seen = outlines.found.sum(axis=1) >= 2
    if not seen.any():
        return matrix
    corners = box_corners([Box(0, 0, page.width, page.height)])
    sources = np.concatenate([boxes[seen], corners]).reshape(-1, 2)
    targets = np.concatenate([outlines.corners[seen].astype(np.float64), project(matrix, corners)]).reshape(
        -1, 2
    )
    fitted, _ = cv2.findHomography(sources, targets, 0)
    return matrix if fitted is None or not np.isfinite(fitted).all() else np.asarray(fitted, np.float64)


def _image_of(template: FormTemplate, page: FormPage) -> Grey | None:
    if not page.image:
        return None
    try:
        return load_grey(Path(template.folder, page.image))
    except ImageError as error:
        raise FormError(f"the empty form's image: {error.problem}", remedy=error.remedy) from error
