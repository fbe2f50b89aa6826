"""Datasets as arrays: by name, or from a folder, a CSV manifest or a zip archive; read from local files.

```
folder.py ───┐
             ├─ assembly ─ dataset ─ splits, prepare
manifest.py ─┘
```

>>> from kalamos.datasets import names
>>> "mnist" in names()
True
"""

from kalamos.datasets.dataset import Dataset, SkippedFile, Split
from kalamos.datasets.loading import load_dataset, resolve_dataset
from kalamos.datasets.named import names
from kalamos.datasets.ragged import RaggedImages
from kalamos.datasets.splits import grouped_split, k_fold, stratified_split

__all__ = [
    "Dataset",
    "RaggedImages",
    "SkippedFile",
    "Split",
    "grouped_split",
    "k_fold",
    "load_dataset",
    "names",
    "resolve_dataset",
    "stratified_split",
]
