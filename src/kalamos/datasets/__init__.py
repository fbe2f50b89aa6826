"""Datasets as arrays, by name, read from local files.

>>> from kalamos.datasets import names
>>> "mnist" in names()
True
"""

from kalamos.datasets.dataset import Dataset, Split
from kalamos.datasets.named import load_dataset, names
from kalamos.datasets.splits import stratified_split

__all__ = ["Dataset", "Split", "load_dataset", "names", "stratified_split"]
