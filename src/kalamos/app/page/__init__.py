"""The page of `kalamos app`, one module a tab.

```
build ─ switcher, single, inside, folder, checking      the tabs: Gradio, and nothing to decide
        ├─ uploads → reading → sheet → table            a folder: found, read, arranged, shown
        ├─ review → asking → keeping → teaching         checked, asked about, saved, learnt from
        ├─ exporting                                    downloaded
        └─ pictures, words, plots                       what is shown
        └─ pad, framing, examples                       drawn, cut out, and tried
taught                                                  models that were taught before
looks                                                   theme, style, icon
session                                                 all that belongs to one visit
```
"""

from kalamos.app.page.build import build_page
from kalamos.app.page.looks import page_theme

__all__ = ["build_page", "page_theme"]
