"""What is not a character: named sets of images that a reader must reject, and how well it does.

```
ink ─ scribbles, paper, shapes, textures ─┐
photos ───────────────────────────────────┼─ sets ─┬─ exposure (for training)
lookalikes ─ script ──────────────────────┘        └─ measure (scores) ─ console, saving
```

>>> SETS.names()
('paper', 'photos', 'scribbles', 'shapes', 'textures')
"""

from kalamos.outliers import paper, photos, scribbles, shapes, textures  # noqa: F401 (register)
from kalamos.outliers.exposure import default_sets, exposure
from kalamos.outliers.measure import OutlierReport, measure
from kalamos.outliers.script import open_set
from kalamos.outliers.sets import SETS, OODContext, OutlierSet

__all__ = [
    "SETS",
    "OODContext",
    "OutlierReport",
    "OutlierSet",
    "default_sets",
    "exposure",
    "measure",
    "open_set",
]
