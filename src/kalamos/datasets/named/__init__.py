"""Datasets with a name, and where their files are looked for.

Each lies in the data folder, the first of: `--data-dir`, the environment variable KALAMOS_DATA, and
`kalamos` in the user's cache folder; in its own folder, as torchvision leaves it, or as the archive that
its authors publish. All are read from these files only, without the network; one is drawn, and needs none.
`mnist`, `arabic`, `arabic_digits` and `unipen` register theirs in the `catalogue`.
"""

from kalamos.datasets.named import arabic, arabic_digits, mnist, unipen  # noqa: F401 (register)
from kalamos.datasets.named.catalogue import DATASETS, NamedDataset, data_dir, describe, names

__all__ = ["DATASETS", "NamedDataset", "data_dir", "describe", "names"]
