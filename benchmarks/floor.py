"""The floor under a folder: imports, OpenCV's decoding, a cast and the model, in a tight loop.

Usage: python benchmarks/floor.py MODEL FOLDER. Nothing is checked, prepared, sorted or written; an image of
another size than the model's is scaled to it, without looking for the ink.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as `import kalamos` does, which a floor does without

import cv2
import numpy as np
import onnxruntime

BATCH = 64


def open_session(model: str, threads: int = 0) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads  # 0: all cores, onnxruntime's own default
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def read_all(session: onnxruntime.InferenceSession, paths: list[str]) -> int:
    [images] = session.get_inputs()
    size = images.shape[2:]
    count = 0
    for start in range(0, len(paths), BATCH):
        read = [_image(path, size) for path in paths[start : start + BATCH]]
        batch = np.stack(read)[:, None].astype(np.float32)
        count += len(session.run(["logits"], {images.name: batch})[0])
    return count


def _image(path: str, size: list[int]) -> np.ndarray:
    image = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
    if image.shape == tuple(size):
        return image
    return cv2.resize(image, tuple(size), interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    model, folder = sys.argv[1:]
    read_all(open_session(model), [entry.path for entry in os.scandir(folder)])
