"""Out-of-distribution images: sets of images that are not characters, and how well a reader rejects them.

`sets` has the registry and the outliers that a training may see, `generators` draws, `lookalikes` says which
letters of other scripts are none, and `measure` compares a reader's confidence on known images with that on
outliers.

>>> SETS.names()
('paper', 'photos', 'scribbles', 'shapes', 'textures')
"""

from kalamos.evaluation.ood import generators  # noqa: F401 (register)
from kalamos.evaluation.ood.measure import OutlierReport, measure
from kalamos.evaluation.ood.sets import (
    SETS,
    OODContext,
    OutlierSet,
    default_sets,
    exposure,
    open_set,
    sets_at_hand,
)

__all__ = [
    "SETS",
    "OODContext",
    "OutlierReport",
    "OutlierSet",
    "default_sets",
    "exposure",
    "measure",
    "open_set",
    "sets_at_hand",
]
