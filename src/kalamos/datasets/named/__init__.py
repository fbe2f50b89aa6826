"""Datasets by name, and where their files are looked for.

Each lies in DATA_DIR, the first of: `--data-dir`, the environment variable KALAMOS_DATA, and `kalamos` in
the user's cache folder; in a folder of its own, as torchvision leaves it, or as the archive that it
is handed out in. All are read from these files alone, without the network.

```
mnist, emnist, emnist_47, usps ──┐
ahcd, hijja ─ arabic_letters ─────┼─ entry (the register) ─ layout (the places)
ocr_arabic, hijja ─ members ──────┘
```
"""

from kalamos.datasets.named import (  # noqa: F401 (register)
    ahcd,
    arabic_letters,
    emnist,
    emnist_47,
    hijja,
    mnist,
    ocr_arabic,
    usps,
)
from kalamos.datasets.named.entry import DATASETS, NamedDataset, data_dir, describe, names

__all__ = ["DATASETS", "NamedDataset", "data_dir", "describe", "names"]
