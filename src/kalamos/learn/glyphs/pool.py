"""The characters that the base model learns from: glyphs of fonts drawn by pens, and hands of datasets.

Characters that look alike (Latin A, Greek Alpha, Cyrillic A) are one class: no picture tells them apart, and
a network made to try would learn noise.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import LATIN_47
from kalamos.datasets import load_dataset
from kalamos.datasets.fonts import FontFile, GlyphForm, find_families
from kalamos.datasets.named import data_dir
from kalamos.datasets.named.unipen import UNIPEN
from kalamos.datasets.strokes import read_strokes
from kalamos.errors import DatasetError, NoInkError
from kalamos.learn.glyphs.recipe import GlyphRecipe
from kalamos.learn.synthetic_photos import Camera, photographed
from kalamos.learn.synthetic_photos.render import Pen, draw, trace
from kalamos.preprocessing import Preprocessor

__all__ = ["STEPS", "GlyphImages", "collect"]

STEPS: Final = (
    {"step": "ink", "min_contrast": 24},
    {"step": "crop"},
    {"step": "stroke", "size": 34, "thinnest": 2.2, "thickest": 6.0},
    {"step": "resize", "size": 34, "tolerance": 0.1},
    {"step": "centre", "size": 40},
    {"step": "normalise", "mean": 0.0, "std": 1.0},
)
"""How the base model sees a character."""

LETTERS: Final = frozenset({"Ll", "Lu", "Lo", "Lt", "Nd", "Nl"})
"""Unicode's categories of what people write one by one; likewise below."""
MARKS: Final = frozenset({"Mn", "Mc"})

LEFT_OUT: Final = ("Bold", "SignWriting", "Symbols", "Music", "Math", "Duployan", "IndicSiyaq")
"""Words in the file names of fonts that add no shapes of letters: a pen's width is drawn anew anyway."""

COMMON_HAN: Final = 2_500
"""Han characters taken, those of lowest code point that Japanese, Korean and Chinese share."""
COMMON_HANGUL: Final = 900

HAN, HANGUL = range(0x4E00, 0xA000), range(0xAC00, 0xD7A4)

FIELD_PX: Final = 56
"""Longer side at which glyphs of fonts are drawn before they are prepared."""

MAX_LOG_STRETCH: Final = 0.22
"""How much wider or narrower a hand makes a glyph: the logarithm's bound."""

INK_PEN: Final = Pen((0.04, 0.16), (1, 1), (2, 2), (0, 0), (1, 1))
"""Of the drawn pens only the width, as a share of the longer side, matters: the coverage is taken."""

HAND: Final = Camera(rotate=7.0, slant=14.0, elastic=0.06, wobble=0.1)
"""How a hand departs from a font; nothing of the camera itself is used."""

ALIKE_COSINE, ALIKE_DIFFERENCE = 0.965, 0.3
"""Two characters are one class where the blurred pictures have at least this cosine and nowhere differ by
more than this share of full ink: a dot differs by more."""

ALIKE_BLUR_PX: Final = 1.5

HAND_SETS: Final = ("emnist-47", "mnist", "ahcd", "hijja-28", "hmbd", "madbase")
"""Datasets whose training images are hands; `unipen` comes besides."""


@dataclass(frozen=True)
class GlyphImages:
    """Prepared images with their classes.

    Attributes:
        images: uint8 [N, 40, 40].
        labels: int64 [N], in [0, C).
        hands: bool [N]: written by people, not drawn from a font.
        characters: C strings, one for each class: the first of those that look alike.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    hands: NDArray[np.bool_]
    characters: tuple[str, ...]

    def save(self, path: Path) -> None:
        """Write to an .npz file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.savez(
                file,
                images=self.images,
                labels=self.labels,
                hands=self.hands,
                characters=np.array(self.characters),
            )

    @classmethod
    def load(cls, path: Path) -> GlyphImages:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            characters = tuple(map(str, arrays["characters"].tolist()))
            return cls(arrays["images"], arrays["labels"], arrays["hands"], characters)


def collect(
    recipe: GlyphRecipe, fonts: Iterable[Path], data: Path | None = None, jobs: int = 1
) -> GlyphImages:
    """Draw the fonts' characters, read the hands, join what looks alike, photograph some.

    Args:
        fonts: folders of fonts.
        data: the folder of the named datasets.
        jobs: processes that draw; the result does not depend on them.

    Raises:
        DatasetError: a folder without a font, or a dataset that cannot be read.
    """
    files = [file for folder in fonts for family in find_families(folder) for file in family.files]
    files = [file for file in files if not any(word in file.name for word in LEFT_OUT)]
    tasks = [(file, recipe, number) for number, file in enumerate(files)]
    with ProcessPoolExecutor(jobs) as pool:
        drawn = [each for each in pool.map(_draw_font, tasks) if each is not None]
    if not drawn:
        raise DatasetError("the fonts have no letter that can be drawn")
    names = [name for texts, _, _ in drawn for name in texts]
    printed = np.concatenate([plain for _, plain, _ in drawn])
    variants = np.concatenate([images for _, _, images in drawn])  # [glyphs, drawings, 40, 40]
    classes, characters = _join_alike(names, printed)
    images, labels = [variants.reshape(-1, *variants.shape[2:])], [np.repeat(classes, recipe.drawings)]
    n_fonts = len(labels[0])
    index = {name: int(at) for name, at in zip(names, classes, strict=True)}
    for name in HAND_SETS:
        _add_hands(name, recipe, data, index, characters, images, labels)
    _add_pens(recipe, data, index, images, labels)
    everything, codes = np.concatenate(images), np.concatenate(labels)
    hands = np.arange(len(codes)) >= n_fonts
    rng = np.random.default_rng((recipe.seed, 1))
    half = recipe.photographs // 2
    chosen = np.concatenate([rng.choice(np.flatnonzero(kind), half) for kind in (hands, ~hands)])
    photos = photographed(everything[chosen], Camera(), Preprocessor(STEPS), recipe.seed, jobs)
    return GlyphImages(
        np.concatenate([everything, photos]),
        np.concatenate([codes, codes[chosen]]),
        np.concatenate([hands, hands[chosen]]),
        tuple(characters),
    )


def _draw_font(
    task: tuple[Path, GlyphRecipe, int],
) -> tuple[list[str], NDArray[np.uint8], NDArray[np.uint8]] | None:
    """One font's texts, how each is printed uint8 [G, 40, 40], and drawn [G, drawings, 40, 40]."""
    path, recipe, number = task
    cv2.setNumThreads(1)
    try:
        font = FontFile(path)
    except DatasetError:
        return None
    preprocessor = Preprocessor(STEPS)
    kept: list[str] = []
    plain, drawn = [], []
    for text in _texts(font, recipe, np.random.default_rng((recipe.seed, number))):
        glyph = font.draw(GlyphForm(text, text))
        if glyph is None or min(glyph.shape) < 3:
            continue
        pictures = list(
            _by_hand(glyph, recipe.drawings, np.random.default_rng((recipe.seed, number, len(kept))))
        )
        prepared = preprocessor.images([np.pad(glyph, 8), *pictures])
        inked = [each for each in prepared if not isinstance(each, NoInkError)]
        if len(inked) <= recipe.drawings:
            continue
        kept.append(text)
        plain.append(inked[0])
        drawn.append(np.stack(inked[1:]))
    return (kept, np.stack(plain), np.stack(drawn)) if kept else None


def _texts(font: FontFile, recipe: GlyphRecipe, rng: np.random.Generator) -> list[str]:
    """What of a font is learnt: its letters and digits, and letters with marks."""
    letters, marks = [], []
    for point in sorted(font.code_points):
        character = chr(point)
        category = unicodedata.category(character)
        # Presentation forms and the like are other names of the same shapes.
        if category in LETTERS and unicodedata.normalize("NFKC", character) == character:
            letters.append(character)
        elif category in MARKS:
            marks.append(character)
    han, hangul = ([each for each in letters if ord(each) in block] for block in (HAN, HANGUL))
    letters = [
        each
        for each in letters
        if ord(each) not in HANGUL and not unicodedata.name(each, "").startswith("CJK")
    ]
    if len(letters) > recipe.characters_per_font:
        letters = sorted(rng.choice(letters, recipe.characters_per_font, replace=False).tolist())
    letters += [*_thinned(han, COMMON_HAN), *_thinned(hangul, COMMON_HANGUL)]
    syllables: list[str] = []
    bases = [each for each in letters if unicodedata.category(each) == "Lo"]
    if bases and marks and not han:
        for _ in range(min(recipe.syllables_per_font, len(bases) * len(marks))):
            base, mark = rng.choice(bases), rng.choice(marks)
            if unicodedata.name(base, "a").split()[0] == unicodedata.name(mark, "b").split()[0]:
                syllables.append(f"{base}{mark}")
    return [*letters, *dict.fromkeys(syllables)]


def _thinned(characters: list[str], count: int) -> list[str]:
    """As many characters, evenly spaced over all."""
    return [characters[round(at)] for at in np.linspace(0, len(characters) - 1, min(count, len(characters)))]


def _by_hand(glyph: NDArray[np.uint8], count: int, rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """Draw a glyph uint8 [H, W] anew, each time with another pen, stretch, slant and bend."""
    for _ in range(count):
        scale = FIELD_PX / max(glyph.shape)
        stretch = np.exp(rng.uniform(-MAX_LOG_STRETCH, MAX_LOG_STRETCH) * np.array([1, -1]))
        height, width = np.maximum(1, np.rint(np.array(glyph.shape) * scale * stretch)).astype(int).tolist()
        strokes = trace(cv2.resize(glyph, (width, height), interpolation=cv2.INTER_AREA))  # type: ignore[arg-type]
        if strokes is not None:
            coverage = draw(strokes, FIELD_PX, HAND, rng, pen=INK_PEN).coverage
            yield np.pad((255 * coverage).astype(np.uint8), 6)


def _join_alike(names: list[str], printed: NDArray[np.uint8]) -> tuple[NDArray[np.int64], list[str]]:
    """The class of each glyph, int64 [G], and the characters of the classes: the like are joined."""
    blurred = np.stack(
        [cv2.GaussianBlur(image.astype(np.float32) / 255, (0, 0), ALIKE_BLUR_PX) for image in printed]
    )
    flat = blurred.reshape(len(blurred), -1)
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    peaks = blurred.max(axis=(1, 2), keepdims=True)
    parent = list(range(len(names)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    first: dict[str, int] = {}
    for row, name in enumerate(names):
        # Case folds together too where only the size differs, which preparing takes away.
        parent[root(row)] = root(first.setdefault(name, row))
    level = blurred / peaks
    for start in range(0, len(flat), 512):
        cosines = flat[start : start + 512] @ flat[start:].T
        for one, other in np.argwhere(cosines >= ALIKE_COSINE).tolist():
            a, b = start + one, start + other
            if a < b and root(a) != root(b) and np.abs(level[a] - level[b]).max() <= ALIKE_DIFFERENCE:
                parent[root(b)] = root(a)
    roots = np.array([root(row) for row in range(len(names))])
    ones, classes = np.unique(roots, return_inverse=True)
    return classes.astype(np.int64), [names[at] for at in ones.tolist()]


def _add_hands(
    name: str,
    recipe: GlyphRecipe,
    data: Path | None,
    index: dict[str, int],
    characters: list[str],
    images: list[NDArray[np.uint8]],
    labels: list[NDArray[np.int64]],
) -> None:
    """Add a dataset's prepared training images."""
    dataset = load_dataset(name, data_dir=data)
    texts = [dataset.alphabet.labels[label] for label in dataset.train.labels.tolist()]
    rows = _at_most(texts, recipe)
    preprocessor = Preprocessor(STEPS)
    prepared = preprocessor.images([dataset.train.images[row] for row in rows])
    for row, image in zip(rows, prepared, strict=True):
        if not isinstance(image, NoInkError):
            images.append(image[np.newaxis])
            labels.append(np.array([_class_of(texts[row], index, characters)], np.int64))


def _add_pens(
    recipe: GlyphRecipe,
    data: Path | None,
    index: dict[str, int],
    images: list[NDArray[np.uint8]],
    labels: list[NDArray[np.int64]],
) -> None:
    """Add UNIPEN's characters, each drawn with a pen of its own."""
    strokes = read_strokes(UNIPEN.find(data_dir(data))[0])
    preprocessor, rng = Preprocessor(STEPS), np.random.default_rng((recipe.seed, 2))
    # EMNIST's 47 classes hold both cases of letters that differ in size alone.
    texts = [LATIN_47.labels[LATIN_47.class_of(label) or 0] for label in strokes.labels]
    for row in _at_most(texts, recipe):
        picture = strokes.draw(row, side=FIELD_PX, width=FIELD_PX * float(rng.uniform(*INK_PEN.width)))
        [image] = preprocessor.images([np.pad(picture, 6)])
        if not isinstance(image, NoInkError) and texts[row] in index:
            images.append(image[np.newaxis])
            labels.append(np.array([index[texts[row]]], np.int64))


def _at_most(texts: list[str], recipe: GlyphRecipe) -> list[int]:
    """Rows of at most so many of each class, drawn at random."""
    order = np.random.default_rng((recipe.seed, 3)).permutation(len(texts)).tolist()
    counts: dict[str, int] = {}
    rows = []
    for row in order:
        counts[texts[row]] = counts.get(texts[row], 0) + 1
        if counts[texts[row]] <= recipe.samples_per_hand_class:
            rows.append(row)
    return sorted(rows)


def _class_of(text: str, index: dict[str, int], characters: list[str]) -> int:
    """The class of a label; a new one where no font has it."""
    if text not in index:
        index[text] = len(characters)
        characters.append(text)
    return index[text]
