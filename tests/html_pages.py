"""What the tests of HTML pages look at."""

from __future__ import annotations

import base64
from html.parser import HTMLParser

import cv2
import numpy as np

VOID_TAGS = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Checks that tags close in order, and collects tags, attributes and words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def values(self, *names: str) -> list[str]:
        """The values of these attributes, in order."""
        return [value for _, name, value in self.attributes if name in names]


def decode_uri(uri: str) -> np.ndarray:
    """The pixels of an image's data URI."""
    kind, _, content = uri.partition(";base64,")
    assert kind in {"data:image/png", "data:image/jpeg"}
    image = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image
