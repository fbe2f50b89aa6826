"""Draw a small dataset to try kalamos with: six Greek capitals, forty images each, a sub-folder a letter.

Run `python samples/make_letters.py letters`; the same images come out every time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from make_samples import curve, paper
from numpy.typing import NDArray

SIZE = 96
EACH = 40

# Corners of strokes in a unit square; a stroke of more than four is a curve through them.
STROKES: dict[str, list[list[tuple[float, float]]]] = {
    "Γ": [[(0.3, 0.95), (0.3, 0.1), (0.8, 0.1)]],
    "Δ": [[(0.5, 0.06), (0.15, 0.92), (0.86, 0.92), (0.5, 0.06)]],
    "Λ": [[(0.15, 0.95), (0.5, 0.08), (0.86, 0.95)]],
    "Π": [[(0.22, 0.95), (0.22, 0.1)], [(0.1, 0.1), (0.9, 0.1)], [(0.78, 0.1), (0.78, 0.95)]],
    "Σ": [[(0.8, 0.1), (0.22, 0.1), (0.55, 0.5)], [(0.55, 0.5), (0.2, 0.92), (0.84, 0.92)]],
    "Ω": [
        [(0.12, 0.93), (0.36, 0.93)],
        [(0.36, 0.93), (0.18, 0.62), (0.22, 0.26), (0.5, 0.08), (0.78, 0.26), (0.82, 0.62), (0.64, 0.93)],
        [(0.64, 0.93), (0.9, 0.93)],
    ],
}


def letter(strokes: list[list[tuple[float, float]]], generator: np.random.Generator) -> NDArray[np.uint8]:
    """One letter as another hand would write it, dark on light paper, uint8 [96, 96]."""
    canvas = np.zeros((SIZE, SIZE), np.uint8)
    turn = np.eye(2) + generator.normal(0, 0.08, (2, 2))
    box, centre = generator.uniform(0.5, 0.75), 0.5 + generator.uniform(-0.06, 0.06, 2)
    width = int(generator.integers(3, 8))
    for stroke in strokes:
        shaken = [
            (x + dx, y + dy)
            for (x, y), (dx, dy) in zip(stroke, generator.normal(0, 0.025, (len(stroke), 2)), strict=True)
        ]
        points = curve(shaken) if len(stroke) > 4 else np.array(shaken)
        pixels = ((((points - 0.5) @ turn) * box + centre) * SIZE * 16).round().astype(np.int32)
        cv2.polylines(canvas, [pixels.reshape(-1, 1, 2)], False, 255, width, cv2.LINE_AA, shift=4)
    ground = paper(SIZE, generator, light=generator.uniform(200, 250), shadow=10, grain=3)
    dark = generator.uniform(10, 70)
    return np.clip(ground + (dark - ground) * (canvas / 255), 0, 255).astype(np.uint8)


def main(folder: Path) -> None:
    """Write the images, `folder/LETTER/NUMBER.png`."""
    generator = np.random.default_rng(42)
    for name, strokes in STROKES.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(EACH):
            # Not cv2.imwrite, which cannot write such names on Windows.
            png = cv2.imencode(".png", letter(strokes, generator))[1]
            (folder / name / f"{number:02}.png").write_bytes(png.tobytes())
    print(f"{folder}: {len(STROKES)} letters, {EACH} images each")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "letters"))
