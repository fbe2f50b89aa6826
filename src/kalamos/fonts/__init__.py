"""Handwriting fonts as a source of styles: their characters, varied as hands vary.

```
families ─┐
glyphs ───┼─ rendering
variation ┘
```

Needs `pip install 'kalamos[fonts]'`.

>>> from kalamos.fonts import side_of
>>> side_of("@fontsource/caveat")
'judge'
"""

from kalamos.fonts.families import FontFamily, ListedFont, find_families, read_list, side_of
from kalamos.fonts.rendering import RenderedDataset, render_dataset

__all__ = [
    "FontFamily",
    "ListedFont",
    "RenderedDataset",
    "find_families",
    "read_list",
    "render_dataset",
    "side_of",
]
