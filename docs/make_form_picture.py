"""Draw docs/images/form.png, the README's first picture: a filled form, and what was read over it.

Run `python docs/make_form_picture.py`; with the same models, the same picture comes out every time.
"""

from __future__ import annotations

from pathlib import Path

import cv2

import kalamos

ROOT = Path(__file__).parent.parent
SCAN = ROOT / "samples-form" / "scans" / "4-shadow.jpg"
TO = ROOT / "docs" / "images" / "form.png"

WIDTH_PX = 1000

SHOWN = 0.24, 0.68
"""From where to where of the scan's height."""


def main() -> None:
    drawn = kalamos.Form.load(ROOT / "samples-form" / "form.toml").read(SCAN).render()
    top, bottom = (round(share * drawn.shape[0]) for share in SHOWN)
    part = drawn[top:bottom]
    size = WIDTH_PX, round(part.shape[0] * WIDTH_PX / part.shape[1])
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(TO), cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
