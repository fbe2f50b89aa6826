"""Where a registered page's fields lie on the scan: each box by its own lines.

A homography is right for a flat page. Paper bends, and copiers stretch: boxes are moved to where their lines
are seen, and what is seen says of which fields it is sure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import FormError
from kalamos.forms.bends import ends_are_seen, find_bent_outlines
from kalamos.forms.geometry import Grey, box_corners, project, rms
from kalamos.forms.outlines import middling_side
from kalamos.forms.registration import MIN_FIT, Registration
from kalamos.forms.strangers import unseen_fields
from kalamos.forms.template import Field

__all__ = ["PlacedField", "place_fields", "refine_fields"]

FLAT: Final = 0.1
"""By how many shorter sides of a box, as root mean square, boxes of a flat page lie at most elsewhere than
the homography says, which is then right of boxes that are not seen too."""

MIN_FIELD_FIT: Final = 0.5
"""The share of a field's sides that must be seen on a page that is not flat for its text to be `ok`."""


class PlacedField(NamedTuple):
    """Where the boxes of a field were found.

    Attributes:
        corners: float32 [N, 4, 2], px, clockwise from the template's top left.
        sure: whether the lines that were seen tell that these are its boxes, and not others next to them.
    """

    corners: NDArray[np.float32]
    sure: bool


def refine_fields(
    scan: Grey, registration: Registration, fields: Sequence[Field]
) -> list[NDArray[np.float32]]:
    """Find the boxes of all fields of a registered page by their own lines.

    Args:
        scan: uint8 [H, W], the registered one.
        fields: of the registered page, best all of them: neighbours help each other.

    Returns:
        For each field float32 [N, 4, 2], px, clockwise from the template's top left. Boxes whose lines are
        not seen lie as their neighbours tell.

    Raises:
        FormError: a field is on another page.
    """
    return [placed.corners for placed in place_fields(scan, registration, fields)]


def place_fields(scan: Grey, registration: Registration, fields: Sequence[Field]) -> list[PlacedField]:
    """Find the boxes of all fields as `refine_fields` does, and say of which it is sure.

    Raises:
        FormError: a field is on another page.
    """
    for each in fields:
        if each.page != registration.page:
            raise FormError(
                f"field {each.name!r} is on page {each.page}, and page {registration.page} is registered"
            )
    if not fields:
        return []
    boxes = box_corners([box for each in fields for box in each.boxes])
    predicted = project(registration.homography, boxes)
    counts = [len(each.boxes) for each in fields]
    ends = np.cumsum(counts)[:-1]
    if registration.fit < MIN_FIT:  # it was found by words or a code; what is seen of lines is by chance
        return [PlacedField(part, False) for part in np.split(predicted.astype(np.float32), ends)]
    outlines = find_bent_outlines(scan, predicted, counts, marked=registration.marked)
    flat = rms(outlines.moved) < FLAT * middling_side(outlines.corners.astype(np.float64))
    # By the boxes alone, all rows may be the next ones: then one of them has no lines.
    shifted = not registration.marked and bool(unseen_fields(outlines, counts).any())
    return [
        PlacedField(
            corners, not shifted and (flat or bool(found.mean() >= MIN_FIELD_FIT and ends_are_seen(found)))
        )
        for corners, found in zip(
            np.split(outlines.corners, ends), np.split(outlines.found, ends), strict=True
        )
    ]
