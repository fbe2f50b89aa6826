"""What is not a character: named sets of images that a reader must reject, and how well it does.

```
ink ─ scribbles, paper, shapes, textures ─┐
photos ───────────────────────────────────┼─ sets ─┬─ exposure (for training)
lookalikes ─ script ──────────────────────┘        └─ measure (scores) ─ console, saving
```

>>> SETS.names()
('paper', 'photos', 'scribbles', 'shapes', 'textures')
"""

from kalamos.evaluation.ood import generators  # noqa: F401 (register)
from kalamos.evaluation.ood.exposure import default_sets, exposure, open_set
from kalamos.evaluation.ood.measure import OutlierReport, measure
from kalamos.evaluation.ood.sets import SETS, OODContext, OutlierSet

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
