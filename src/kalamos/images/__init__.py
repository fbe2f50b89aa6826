"""Any image source, made one grey uint8 image with its ink kept.

```
path ── files ──┐
bytes ──────────┴─ decoding ─ dispatch ─ png, jpeg, gif, bmp, webp, tiff ─ pixels ─┐
array ─ arrays ────────────────────────────────────────────────────────────────────┼─ grey
Pillow image ─ pillow ─────────────────────────────────────────────────────────────┘
```

`decoding` has what is not harmless go through `pixels` in a worker process.
"""

from __future__ import annotations

from kalamos.images.decoding import MAX_PIXELS, decode_grey
from kalamos.images.dispatch import EXTENSIONS, read_header
from kalamos.images.files import MAX_FILE_BYTES, read_file
from kalamos.images.header import ImageHeader
from kalamos.images.loading import ImageSource, load_grey

__all__ = [
    "EXTENSIONS",
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "ImageHeader",
    "ImageSource",
    "decode_grey",
    "load_grey",
    "read_file",
    "read_header",
]
