"""Inspection of a dataset: what is wrong with it, before a network learns it.

```
files, classes, picture (sizes, polarity, blank), copies, near, suspects     one module per check
      └────────────────── findings ──────────────────┘
examination (runs them) ── console, records, page, report (present the results)
```

>>> import numpy as np
>>> from kalamos.alphabets import Alphabet
>>> from kalamos.datasets import Dataset, Split
>>> images = np.zeros((2, 28, 28), np.uint8)
>>> images[:, 8:20, 12:16] = 255
>>> twice = Dataset("twice", Alphabet("ab", ("a", "b")), Split(images, np.array([0, 1])), None, "me")
>>> [str(finding) for finding in inspect(twice, labels=False).errors]
['equal images under different labels: 1 set of 2 images']
"""

from kalamos.doctor.examination import InspectionReport, inspect
from kalamos.doctor.findings import FINDING_TYPES, Case, Finding, FindingType

__all__ = ["FINDING_TYPES", "Case", "Finding", "FindingType", "InspectionReport", "inspect"]
