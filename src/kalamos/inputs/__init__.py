"""Where images come from: files, folders, globs, archives, tables and standard input, as one stream of items.

`search.InputSearch` finds them by `files.ImageSearch`, and opens containers by `archives`, `documents` and
`tables`. An item is a path, or a `NamedImage`: a name, and the encoded bytes or the error in their place.
Items come in a fixed order, can be pickled, and are made one by one, so memory does not grow with their
number. In `path`, a row says:

| item | name |
|---|---|
| a file, also one that a CSV, a Parquet column or standard input names | its path, as it was given |
| an entry of an archive | `forms.zip/a/b.png`: the archive's path, `/`, the entry's name |
| a page of a document | `scan.pdf#2`: the document's path, `#`, the page, counted from 1 |
| a row of a table with bytes or an error | `scans.parquet#12`, `list.csv#12`: the row, counted from 0 |
| standard input | `stdin` for an image, or for what is wrong with it; `stdin/a/b.png`, `stdin#2` |
| a container that is damaged or has no image | its path |

Names are only ever written, never opened: `forms.zip/../../etc/passwd` is harmless. If an archive has two
entries of one name, both become rows, in the archive's order.
"""

from __future__ import annotations

from kalamos.inputs.item import Item, NamedImage
from kalamos.inputs.search import STDIN, InputSearch

__all__ = ["STDIN", "InputSearch", "Item", "NamedImage"]
