"""Handwriting fonts as a source of styles: their characters, varied as hands vary, as a dataset of images.

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

from kalamos.fonts.families import Family, Listed, find_families, read_list, side_of
from kalamos.fonts.rendering import Rendered, render_dataset

__all__ = ["Family", "Listed", "Rendered", "find_families", "read_list", "render_dataset", "side_of"]
