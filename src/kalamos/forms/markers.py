"""What a printed sheet says of itself: ArUco markers and the homography that they tell, and its code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.forms.geometry import Grey, Matrix, box_corners, project, rms
from kalamos.forms.layout import CODE_GAP, CODE_SIDE
from kalamos.forms.outlines import reduced
from kalamos.forms.template import Box, Marker

__all__ = ["MARKER_LONG_SIDES", "Marks", "find_markers", "fit_marks", "marks_of", "read_code"]

MARKER_LONG_SIDES: Final = (1100, 2000)
"""Px of a scan, or up to twice as many, at which markers are looked for; at the larger if the smaller shows
too few. A marker of 10 mm on A4 is then 37 px."""

MARKER_STRAY: Final = 0.03
"""The share of the scan's longer side by which a marker may be away from where the others put it."""

CODE_PX: Final = 240
"""Of the upright picture that the code is read from."""


class Marks(NamedTuple):
    """Marker corners in template units and on the scan, float64 [K, 4, 2] both."""

    printed: NDArray[np.float64]
    seen: NDArray[np.float64]


def marks_of(markers: Sequence[Marker], seen: dict[int, NDArray[np.float64]]) -> Marks:
    """Pair a page's markers with those on a scan."""
    both = [marker for marker in markers if marker.id in seen]
    printed = box_corners([Box(marker.x, marker.y, marker.size, marker.size) for marker in both])
    return Marks(printed, np.array([seen[marker.id] for marker in both]).reshape(-1, 4, 2))


def find_markers(scan: Grey, long_side: int) -> dict[int, NDArray[np.float64]]:
    """Find markers: number -> float64 [4, 2], px, clockwise from the marker's own top left."""
    scale = 1 / max(1, max(scan.shape) // long_side)
    image = reduced(scan, scale)
    parameters = cv2.aruco.DetectorParameters()
    # Windows that hold a marker's frame at these sizes; the default tries three.
    parameters.adaptiveThreshWinSizeMin = parameters.adaptiveThreshWinSizeMax = 23
    parameters.minMarkerPerimeterRate = 0.04
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    corners, ids, _ = cv2.aruco.ArucoDetector(dictionary, parameters).detectMarkers(image)
    if not corners:
        return {}
    found: dict[int, NDArray[np.float64]] = {}
    for number, each in sorted(
        zip(np.ravel(ids).astype(int).tolist(), corners, strict=True), key=lambda one: cv2.contourArea(one[1])
    ):
        # The largest of one number counts: writing makes small ones.
        found[number] = _sharpened(scan, (each[0].astype(np.float64) + 0.5) / scale - 0.5)
    return found


def _sharpened(scan: Grey, corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find corners to a fraction of a px of the whole scan."""
    side = float(np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1).min())
    window = max(2, round(side / 14))  # less than a module, or the marker's inside is in it
    points = corners.astype(np.float32).reshape(-1, 1, 2).copy()
    inside = (points > window).all() and (points[..., 0] < scan.shape[1] - window - 1).all()
    if not inside or not (points[..., 1] < scan.shape[0] - window - 1).all():
        return corners
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.02)
    better = cv2.cornerSubPix(scan, points, (window, window), (-1, -1), stop).reshape(4, 2).astype(np.float64)
    return better if float(np.abs(better - corners).max()) < window + 1 else corners


def fit_marks(marks: Marks, scan: Grey) -> tuple[Matrix, Marks] | None:
    """Fit a homography to markers, leaving out those that do not agree with the others."""
    printed, seen = marks
    stray = MARKER_STRAY * max(scan.shape)
    while len(printed) >= 2:
        matrix = _fitted(printed.reshape(-1, 2), seen.reshape(-1, 2), flat=len(printed) == 2)
        if matrix is None:
            return None
        off = np.linalg.norm(project(matrix, printed) - seen, axis=-1).max(axis=1)
        if off.max() <= stray:
            return matrix, Marks(printed, seen)
        if len(printed) == 2:
            return None
        kept = np.arange(len(printed)) != _odd_one(printed, seen, off)
        printed, seen = printed[kept], seen[kept]
    return None


def _odd_one(printed: NDArray[np.float64], seen: NDArray[np.float64], off: NDArray[np.float64]) -> int:
    """Return the marker without which the others agree best."""
    rest = []
    for left_out in range(len(printed)):
        kept = np.arange(len(printed)) != left_out
        matrix = _fitted(printed[kept].reshape(-1, 2), seen[kept].reshape(-1, 2), flat=kept.sum() == 2)
        rest.append(np.inf if matrix is None else rms(project(matrix, printed[kept]) - seen[kept]))
    return int(np.argmin(rest)) if np.isfinite(rest).any() else int(off.argmax())


def _fitted(sources: NDArray[np.float64], targets: NDArray[np.float64], *, flat: bool) -> Matrix | None:
    """Fit a homography; `flat` without perspective, which two markers do not tell."""
    if flat:
        affine, _ = cv2.estimateAffinePartial2D(sources, targets, method=cv2.LMEDS)
        return None if affine is None else np.vstack([affine, [0, 0, 1]])
    matrix, _ = cv2.findHomography(sources, targets, 0)
    return None if matrix is None or not np.isfinite(matrix).all() else np.asarray(matrix, np.float64)


def read_code(scan: Grey, matrix: Matrix, place: Box) -> str:
    """Read the code at a place in template units; "" if there is none to be read."""
    gap = place.width / CODE_SIDE * CODE_GAP * 0.45
    around = Box(place.x - gap, place.y - gap, place.width + 2 * gap, place.height + 2 * gap)
    source = project(matrix, box_corners([around]))[0].astype(np.float32)
    target = np.array([[0, 0], [CODE_PX, 0], [CODE_PX, CODE_PX], [0, CODE_PX]], np.float32)
    upright = cv2.warpPerspective(
        scan,
        cv2.getPerspectiveTransform(source, target),
        (CODE_PX, CODE_PX),
        flags=cv2.INTER_CUBIC,
        borderValue=255,
    )
    try:
        return str(cv2.QRCodeDetector().detectAndDecode(upright)[0])
    except (cv2.error, UnicodeDecodeError):
        return ""
