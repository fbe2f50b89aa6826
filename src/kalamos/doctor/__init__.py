"""The data doctor: what is wrong with a dataset, before a network learns it.

```
files, classes, picture (sizes, polarity, blank), copies, near, suspects     a check each
      └────────────────── findings ──────────────────┘
examination (runs them) ── console, records, page, report (tell of them)
```

>>> import numpy as np
>>> from kalamos.alphabets import Alphabet
>>> from kalamos.datasets import Dataset, Split
>>> images = np.zeros((2, 28, 28), np.uint8)
>>> images[:, 8:20, 12:16] = 255
>>> twice = Dataset("twice", Alphabet("ab", ("a", "b")), Split(images, np.array([0, 1])), None, "me")
>>> [str(finding) for finding in examine(twice, labels=False).errors]
['equal images under different labels: 1 set of 2 images']
"""

from kalamos.doctor.examination import Diagnosis, examine
from kalamos.doctor.findings import KINDS, Case, Finding

__all__ = ["KINDS", "Case", "Diagnosis", "Finding", "examine"]
