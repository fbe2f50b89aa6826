"""Features of an empty form's print, and where a scan shows them: ORB points that agree on a homography."""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.forms.geometry import Grey, Matrix
from kalamos.forms.outlines import reduced

__all__ = ["Features", "form_features", "match_features", "scan_features"]

FEATURE_LONG_SIDE: Final = 1200
"""Px to which a scan, and the empty form, are reduced before features are looked for."""

FORM_FEATURES, SCAN_FEATURES = 2000, 5000

MIN_INLIERS: Final = 8
"""Features that agree on a place."""

MATCH_RATIO: Final = 0.85
"""How much nearer the best feature must be than the second one."""


class Features(NamedTuple):
    """Points in template units, float32 [K, 2], and their ORB descriptors, uint8 [K, 32]."""

    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8]


def form_features(empty: Grey, size: tuple[float, float], boxes: NDArray[np.float64]) -> Features | None:
    """Find features of an empty form's print, without its boxes: these are all alike, and get filled.

    Args:
        empty: its image, uint8 [H, W].
        size: the page's width and height, in template units.
        boxes: those of its fields, float64 [N, 4, 2], in template units.
    """
    image = _at_most(empty, FEATURE_LONG_SIDE)
    units = np.array(size) / image.shape[::-1]
    mask = np.full(image.shape, 255, np.uint8)
    for box in boxes / units:
        left, top = np.floor(box.min(axis=0) - 3).astype(int)
        right, bottom = np.ceil(box.max(axis=0) + 3).astype(int)
        mask[max(top, 0) : bottom, max(left, 0) : right] = 0
    points, descriptors = _orb(FORM_FEATURES).detectAndCompute(image, mask)
    if descriptors is None or len(points) < MIN_INLIERS:
        return None
    places = (np.array([point.pt for point in points]) + 0.5) * units
    return Features(places.astype(np.float32), np.asarray(descriptors, np.uint8))


def scan_features(scan: Grey) -> Features | None:
    """Find features of a scan, uint8 [H, W]; their points are in px."""
    image = _at_most(scan, FEATURE_LONG_SIDE)
    points, descriptors = _orb(SCAN_FEATURES).detectAndCompute(image, None)
    if descriptors is None or len(points) < MIN_INLIERS:
        return None
    scale = np.array([scan.shape[1] / image.shape[1], scan.shape[0] / image.shape[0]])
    places = (np.array([point.pt for point in points]) + 0.5) * scale - 0.5
    return Features(places.astype(np.float32), np.asarray(descriptors, np.uint8))


def _orb(count: int) -> cv2.ORB:
    return cv2.ORB.create(
        nfeatures=count, scaleFactor=1.2, nlevels=6, edgeThreshold=15, patchSize=31, fastThreshold=12
    )


def _at_most(image: Grey, long_side: int) -> Grey:
    return reduced(image, long_side / max(image.shape))


def match_features(printed: Features, seen: Features) -> tuple[Matrix, int] | None:
    """Find the homography that most features agree on, and how many they are."""
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(printed.descriptors, seen.descriptors, k=2)
    good = [
        best
        for best, second in (pair for pair in pairs if len(pair) == 2)
        if best.distance < MATCH_RATIO * second.distance
    ]
    if len(good) < MIN_INLIERS:
        return None
    sources = printed.points[[match.queryIdx for match in good]]
    targets = seen.points[[match.trainIdx for match in good]]
    spread = float(np.linalg.norm(np.ptp(seen.points, axis=0)))
    matrix, inliers = cv2.findHomography(
        sources, targets, cv2.USAC_MAGSAC, 0.004 * spread, maxIters=10_000, confidence=0.9999
    )
    if matrix is None or not np.isfinite(matrix).all() or int(inliers.sum()) < MIN_INLIERS:
        return None
    return np.asarray(matrix, np.float64), int(inliers.sum())
