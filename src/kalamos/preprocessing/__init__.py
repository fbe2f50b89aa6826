"""The one way from a grey image to what a network sees, shared by training and prediction.

A pipeline is data, stored in the model file:

>>> import numpy as np
>>> from kalamos.preprocessing import Preprocessor
>>> prepare = Preprocessor([
...     {"step": "ink"},
...     {"step": "crop"},
...     {"step": "resize", "size": 20, "tolerance": 0.15},
...     {"step": "centre", "size": 28},
...     {"step": "normalise", "mean": 0.0, "std": 1.0},
... ])
>>> page = np.full((200, 150), 230, np.uint8)     # light paper
>>> page[40:160, 70:80] = 30                      # one dark stroke
>>> prepare.image(page).shape, prepare.image(page).max()
((28, 28), np.uint8(255))
>>> prepare.batch([prepare.image(page)]).shape
(1, 1, 28, 28)
"""

from kalamos.preprocessing.pipeline import DEFAULT_STEPS, Preprocessor, default_steps

__all__ = ["DEFAULT_STEPS", "Preprocessor", "default_steps"]
