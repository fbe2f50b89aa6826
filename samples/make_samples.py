"""Draw the sample images: ten digits written by program, each on another medium; and the app's examples.

Run `python samples/make_samples.py`; the same images come out every time.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent
EXAMPLES = FOLDER.parent / "src/kalamos/app/assets/examples"
SIZE = 240

# Each stroke is a list of points in a unit square, joined by a smooth curve.
STROKES: dict[str, list[list[tuple[float, float]]]] = {
    "0": [[(0.52, 0.08), (0.28, 0.22), (0.2, 0.52), (0.32, 0.86), (0.55, 0.93), (0.77, 0.72), (0.8, 0.4), (0.66, 0.13), (0.5, 0.09)]],
    "1": [[(0.36, 0.26), (0.47, 0.18), (0.56, 0.06)], [(0.56, 0.06), (0.53, 0.5), (0.5, 0.95)]],
    "2": [[(0.24, 0.28), (0.38, 0.1), (0.62, 0.1), (0.74, 0.28), (0.62, 0.52), (0.38, 0.76), (0.22, 0.92)], [(0.22, 0.92), (0.5, 0.88), (0.82, 0.92)]],
    "3": [[(0.26, 0.16), (0.48, 0.07), (0.7, 0.17), (0.68, 0.36), (0.46, 0.46)], [(0.46, 0.46), (0.7, 0.54), (0.75, 0.76), (0.52, 0.93), (0.25, 0.84)]],
    "4": [[(0.46, 0.06), (0.34, 0.32), (0.18, 0.6)], [(0.18, 0.6), (0.5, 0.59), (0.84, 0.56)], [(0.66, 0.3), (0.63, 0.6), (0.6, 0.95)]],
    "5": [[(0.34, 0.1), (0.31, 0.26), (0.28, 0.44)], [(0.28, 0.44), (0.5, 0.36), (0.73, 0.5), (0.74, 0.74), (0.52, 0.93), (0.25, 0.86)], [(0.34, 0.1), (0.55, 0.1), (0.78, 0.07)]],
    "6": [[(0.66, 0.07), (0.42, 0.24), (0.27, 0.54), (0.31, 0.84), (0.53, 0.93), (0.72, 0.78), (0.66, 0.58), (0.46, 0.54), (0.3, 0.7)]],
    "7": [[(0.2, 0.13), (0.5, 0.12), (0.8, 0.1)], [(0.8, 0.1), (0.6, 0.45), (0.42, 0.95)]],
    "8": [[(0.66, 0.16), (0.46, 0.07), (0.3, 0.2), (0.4, 0.39), (0.62, 0.56), (0.7, 0.76), (0.54, 0.93), (0.34, 0.86), (0.32, 0.66), (0.5, 0.47), (0.66, 0.32), (0.67, 0.17)]],
    "9": [[(0.7, 0.22), (0.52, 0.08), (0.31, 0.18), (0.32, 0.42), (0.52, 0.48), (0.68, 0.34), (0.71, 0.2)], [(0.71, 0.2), (0.7, 0.55), (0.62, 0.95)]],
    # The letters are for the app's examples alone.
    "A": [[(0.5, 0.06), (0.36, 0.48), (0.2, 0.94)], [(0.5, 0.06), (0.64, 0.48), (0.82, 0.94)], [(0.3, 0.62), (0.5, 0.6), (0.72, 0.62)]],
    "R": [[(0.3, 0.08), (0.29, 0.5), (0.27, 0.94)], [(0.3, 0.1), (0.56, 0.06), (0.74, 0.24), (0.6, 0.44), (0.3, 0.5)], [(0.46, 0.48), (0.62, 0.7), (0.8, 0.94)]],
    "ba": [[(0.9, 0.3), (0.88, 0.5), (0.68, 0.58), (0.4, 0.58), (0.16, 0.5), (0.12, 0.32)], [(0.5, 0.8), (0.515, 0.805)]],
    "ain": [[(0.7, 0.16), (0.5, 0.08), (0.36, 0.2), (0.42, 0.36), (0.68, 0.38)], [(0.68, 0.38), (0.36, 0.46), (0.22, 0.66), (0.34, 0.88), (0.6, 0.94), (0.8, 0.86)]],
}  # fmt: skip


def curve(points: list[tuple[float, float]], steps: int = 24) -> NDArray[np.float64]:
    """A Catmull-Rom spline through the points, [M, 2]."""
    p = np.array([points[0], *points, points[-1]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True):
        pieces.append(
            0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        )
    return np.vstack([*pieces, p[-1:]])


def ink(
    digit: str, width: int, *, size: int = SIZE, box: float = 0.7, slant: float = 0.0
) -> NDArray[np.float64]:
    """How much ink lies on each pixel, [size, size] in [0, 1]."""
    canvas = np.zeros((size, size), np.uint8)
    for stroke in STROKES[digit]:
        points = curve(stroke)
        points[:, 0] += slant * (0.5 - points[:, 1])
        pixels = (((points - 0.5) * box + 0.5) * size * 16).round().astype(np.int32)
        cv2.polylines(canvas, [pixels.reshape(-1, 1, 2)], False, 255, width, cv2.LINE_AA, shift=4)
    return canvas / 255


def paper(
    size: int, generator: np.random.Generator, *, light: float, shadow: float, grain: float
) -> NDArray[np.float64]:
    """Grey paper under uneven light, [size, size] in 0..255."""
    ramp = np.linspace(0, 1, size)
    gradient = shadow * (0.7 * ramp[None, :] + 0.3 * ramp[:, None])
    texture = cv2.GaussianBlur(generator.normal(0, grain * 2, (size, size)), (0, 0), 1.2)
    return light - gradient + texture


def main() -> None:
    g = np.random.default_rng(7)

    def save(name: str, image: NDArray[np.float64], *options: int) -> None:
        cv2.imwrite(str(FOLDER / name), np.clip(image, 0, 255).astype(np.uint8), list(options))

    def pen(
        digit: str, width: int, dark: float, ground: NDArray[np.float64], **how: float
    ) -> NDArray[np.float64]:
        return ground * (1 - ink(digit, width, size=len(ground), **how) * dark)

    save("0-pen.png", pen("0", 9, 0.9, np.full((SIZE, SIZE), 255.0)))
    save("1-marker.png", pen("1", 26, 0.95, np.full((SIZE, SIZE), 250.0), slant=0.1))
    save(
        "2-photo.jpg",
        pen("2", 11, 0.75, paper(400, g, light=215, shadow=90, grain=5)),
        cv2.IMWRITE_JPEG_QUALITY,
        82,
    )
    save("3-chalk.png", 32 + 205 * ink("3", 15, slant=0.15) + g.normal(0, 5, (SIZE, SIZE)))
    save(
        "4-pencil.jpg",
        pen("4", 7, 0.28, paper(300, g, light=225, shadow=25, grain=3)),
        cv2.IMWRITE_JPEG_QUALITY,
        88,
    )
    save("5-small.png", pen("5", 3, 0.9, np.full((40, 40), 245.0)))
    save(
        "6-corner.png",
        np.pad(pen("6", 8, 0.9, np.full((150, 150), 250.0)), ((140, 10), (10, 190)), constant_values=250.0),
    )
    save(
        "7-wide.jpg",
        pen("7", 12, 0.85, paper(480, g, light=200, shadow=30, grain=4), box=0.4)[120:360],
        cv2.IMWRITE_JPEG_QUALITY,
        85,
    )
    blue = np.zeros((SIZE, SIZE, 4))
    blue[..., 0], blue[..., 3] = 120, 255 * ink("8", 12, slant=0.1)
    save("8-transparent.png", blue)
    save("9-dark.png", 245 - pen("9", 13, 0.85, np.full((SIZE, SIZE), 225.0)))
    save("blank.png", paper(200, g, light=230, shadow=30, grain=2))


def make_examples() -> None:
    """What one can click in the app: small, for they lie in the package."""
    g = np.random.default_rng(11)
    size = 160

    def save(name: str, image: NDArray[np.float64]) -> None:
        content = np.clip(image, 0, 255).astype(np.uint8)
        cv2.imwrite(str(EXAMPLES / name), content, [cv2.IMWRITE_JPEG_QUALITY, 80] if ".jpg" in name else [])

    def on(
        ground: NDArray[np.float64], what: str, width: int, dark: float, **how: float
    ) -> NDArray[np.float64]:
        return ground * (1 - ink(what, width, size=size, **how) * dark)

    white = np.full((size, size), 255.0)
    EXAMPLES.mkdir(exist_ok=True)
    save("7-pen.png", on(white, "7", 7, 0.9))
    save("3-chalk.jpg", 34 + 200 * ink("3", 11, size=size, slant=0.15) + g.normal(0, 5, (size, size)))
    save("2-photo.jpg", on(paper(size, g, light=215, shadow=90, grain=4), "2", 8, 0.75))
    save("a-marker.png", on(white, "A", 16, 0.95))
    save("r-pencil.jpg", on(paper(size, g, light=225, shadow=25, grain=3), "R", 6, 0.4))
    save("ba-pen.png", on(white, "ba", 8, 0.9))
    save("ain-photo.jpg", on(paper(size, g, light=210, shadow=70, grain=4), "ain", 8, 0.75))


if __name__ == "__main__":
    main()
    make_examples()
