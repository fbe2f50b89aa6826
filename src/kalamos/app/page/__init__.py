"""The page of `kalamos app`, one module a tab.

```
build ─ switcher, single, inside, folder, checking      the tabs: Gradio, and nothing to decide
        ├─ uploads → reading → sheet → table            a folder: found, read, arranged, shown
        ├─ review → keeping → teaching                  checked, saved, learnt from
        └─ pictures, words, pad                         what is shown, and drawn
looks                                                   theme, style, icon
session                                                 all that belongs to one visit
```
"""

from kalamos.app.page.build import build_page
from kalamos.app.page.looks import looks

__all__ = ["build_page", "looks"]
