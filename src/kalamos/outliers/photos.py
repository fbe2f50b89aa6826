"""Pieces of photographs, out of pictures that installed packages carry."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from kalamos.errors import DatasetError
from kalamos.images import load_grey
from kalamos.outliers.sets import SETS, OODContext, OODSplit, OutlierSet, procedural
from kalamos.preprocessing.steps import GreyImage

__all__ = ["PHOTOGRAPHS", "photos"]

PHOTOGRAPHS: Final[dict[OODSplit, tuple[str, tuple[str, ...]]]] = {
    "train": ("matplotlib", ("mpl-data/sample_data/grace_hopper.jpg",)),
    "eval": ("sklearn", ("datasets/images/china.jpg", "datasets/images/flower.jpg")),
}
"""Package and files below it. A portrait, with cloth, hair and a flag; a temple among trees, and a flower."""

SMALLEST, LARGEST = 20, 240
"""Sides of a piece in px of the photograph."""

SEEN = 128
"""Larger pieces are scaled down to at most this many px."""


@SETS.register("photos")
def photos(context: OODContext) -> OutlierSet:
    """Train: pieces of Matplotlib's portrait. Eval: pieces of scikit-learn's two landscapes."""
    package, files = PHOTOGRAPHS[context.split]
    found = find_spec(package)
    if found is None or found.origin is None:
        raise DatasetError(f"photos: {package} is not installed", remedy="pip install 'kalamos[train]'")
    pictures = [load_grey(path) for path in _present(Path(found.origin).parent, files)]

    def draw(generator: np.random.Generator) -> GreyImage:
        picture = pictures[generator.integers(len(pictures))]
        side = SMALLEST * (LARGEST / SMALLEST) ** generator.random()
        aspect = 2 ** generator.uniform(-0.4, 0.4)
        height, width = round(side * aspect), round(side / aspect)
        top = int(generator.integers(picture.shape[0] - height))
        left = int(generator.integers(picture.shape[1] - width))
        piece = picture[top : top + height, left : left + width]
        if generator.random() < 0.5:
            piece = piece[:, ::-1]
        scale = min(1.0, SEEN / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small: GreyImage = cv2.resize(piece, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        return small

    return procedural("photos", context, draw)


def _present(folder: Path, files: tuple[str, ...]) -> list[Path]:
    paths = [folder / file for file in files]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:  # distributions may leave sample data out
        raise DatasetError(
            f"photos: {folder.name} was installed without {', '.join(missing)}",
            remedy=f"install {folder.name} from its wheel",
        )
    return paths
