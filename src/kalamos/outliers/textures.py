"""Surfaces: what a camera sees when it looks at nothing in particular."""

from __future__ import annotations

import cv2
import numpy as np

from kalamos.outliers.ink import page_size
from kalamos.outliers.sets import SETS, OODContext, OutlierSet, one_of, procedural
from kalamos.preprocessing.steps import GreyImage

__all__ = ["textures"]


@SETS.register("textures")
def textures(context: OODContext) -> OutlierSet:
    """Train: blurred noise, gratings. Eval: 1/f noise, cells, chequers, blobs."""
    for_training, for_eval = (_noise, _grating), (_power_law, _cells, _chequers, _blobs)
    return procedural("textures", context, one_of(*(for_training if context.split == "train" else for_eval)))


def _contrasted(generator: np.random.Generator, field: cv2.typing.MatLike) -> GreyImage:
    """Any field stretched to random contrast: uint8 [H, W]."""
    low, high = np.quantile(field, (0.01, 0.99))
    dark, light = sorted(generator.uniform(0, 255, 2))
    shares = ((field - low) / max(float(high - low), 1e-9)).clip(0, 1)
    levels: GreyImage = (dark + shares * max(light - dark, 40.0)).clip(0, 255).astype(np.uint8)
    return levels


def _noise(generator: np.random.Generator) -> GreyImage:
    white = generator.normal(0, 1, page_size(generator)).astype(np.float32)
    return _contrasted(generator, cv2.GaussianBlur(white, (0, 0), generator.uniform(0.3, 8)))


def _grating(generator: np.random.Generator) -> GreyImage:
    height, width = page_size(generator)
    y, x = np.mgrid[:height, :width] / min(height, width)
    angle, waves = generator.uniform(0, np.pi), generator.uniform(2, 14)
    wave = np.sin(2 * np.pi * waves * (x * np.cos(angle) + y * np.sin(angle)) + generator.uniform(0, 6))
    return _contrasted(generator, wave + generator.normal(0, 0.1, wave.shape))


def _power_law(generator: np.random.Generator) -> GreyImage:
    """Noise whose amplitude falls with the frequency, as that of natural images does (Field 1987)."""
    height, width = page_size(generator)
    frequency = np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(generator.normal(0, 1, (height, width))) / frequency ** generator.uniform(
        0.6, 1.8
    )
    return _contrasted(generator, np.fft.irfft2(spectrum, (height, width)))


def _cells(generator: np.random.Generator) -> GreyImage:
    """Distances to the nearest of scattered points (Worley 1996): scales, pebbles, skin."""
    height, width = page_size(generator)
    dots = np.ones((height, width), np.uint8)
    count = int(generator.integers(8, 40))
    dots[generator.integers(0, height, count), generator.integers(0, width, count)] = 0
    distance = cv2.distanceTransform(dots, cv2.DIST_L2, 5)
    return _contrasted(generator, distance if generator.random() < 0.5 else -np.sqrt(distance))


def _chequers(generator: np.random.Generator) -> GreyImage:
    height, width = page_size(generator)
    y, x = np.mgrid[:height, :width] / min(height, width)
    angle, squares = generator.uniform(0, np.pi), generator.uniform(3, 9)
    across, down = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    board = (np.floor(across * squares) + np.floor(down * squares)) % 2
    return _contrasted(
        generator, cv2.GaussianBlur(board, (0, 0), 0.7) + generator.normal(0, 0.03, board.shape)
    )


def _blobs(generator: np.random.Generator) -> GreyImage:
    """Islands: a smooth field, cut at a level."""
    height, width = page_size(generator)
    white = generator.normal(0, 1, (height, width)).astype(np.float32)
    field = cv2.GaussianBlur(white, (0, 0), min(height, width) * generator.uniform(0.03, 0.07))
    islands = (field > np.quantile(field, generator.uniform(0.5, 0.8))).astype(np.float32)
    return _contrasted(generator, cv2.GaussianBlur(islands, (0, 0), 0.8))
