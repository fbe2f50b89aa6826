"""Write the page with the shipped fast models: python web/assemble.py [FOLDER], by default build/web."""

from __future__ import annotations

import sys
from pathlib import Path

from kalamos.web import write_page
from kalamos.zoo import model_path

MODELS = ("digits", "latin", "arabic")

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/web")
    for path in write_page([model_path(name) for name in MODELS], folder):
        print(f"{path}: {path.stat().st_size:,} bytes")
