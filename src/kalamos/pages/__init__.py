"""Pages with many characters: found, read in order, and kept as lines, words and cells.

>>> import numpy as np
>>> page = np.full((200, 400), 235, np.uint8)
>>> page[60:140, 60:68] = page[60:140, 160:168] = 30                # two upright strokes
>>> [character.label for character in read(page).characters]
['1', '1']
"""

from kalamos.pages.page import Box, Cell, Character, Line, Page, Word
from kalamos.pages.reader import PageReader, read

__all__ = ["Box", "Cell", "Character", "Line", "Page", "PageReader", "Word", "read"]
