"""Simulated photographs of glyphs, so that networks learn from what the preprocessing makes of real ones.

A glyph of a clean dataset is drawn anew, larger, with a pen on paper, under a lamp, by a camera; the
photograph then goes the way that every photograph goes:

>>> import numpy as np
>>> from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor
>>> glyph = np.zeros((28, 28), np.uint8)
>>> glyph[4:24, 13:16] = 255                                       # a one
>>> page = photograph(glyph, Camera(), np.random.default_rng(0))
>>> page.dtype, max(page.shape) > 64
(dtype('uint8'), True)
>>> copies = photographed(np.stack([glyph] * 3), Camera(), Preprocessor(DEFAULT_STEPS), seed=1)
>>> copies.shape
(3, 28, 28)
>>> bool((copies[0] == copies[1]).all())                           # each is another photograph
False
"""

from kalamos.training.camera.copies import photographed
from kalamos.training.camera.scene import photograph
from kalamos.training.camera.settings import Camera

__all__ = ["Camera", "photograph", "photographed"]
