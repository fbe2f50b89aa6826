"""Load any image source as one grey uint8 image with its ink kept.

```
path ── files ──┐                         ┌ png, jpeg ───────────┐
bytes ──────────┴─ decoding ─ dispatch ───┼ webp, tiff (headers) ┼ pixels (OpenCV) ─┬─ grey
                                          └ other_formats (Pillow) ─────────────────┤
array ─ arrays, Pillow image ─ pillow ──────────────────────────────────────────────┘
```

`decoding` decodes harmless PNG and JPEG in this process, and all else in a worker process, the only place
where Pillow is imported.
"""

from __future__ import annotations

from kalamos.images.decoding import EXTENSIONS, MAX_PIXELS, decode_grey, image_format
from kalamos.images.files import MAX_FILE_BYTES, read_file
from kalamos.images.load import ImageSource, load_grey

__all__ = [
    "EXTENSIONS",
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "ImageSource",
    "decode_grey",
    "image_format",
    "load_grey",
    "read_file",
]
