"""How the projects before kalamos read a folder: torch and torchvision, an image at a time or in batches.

Usage: python benchmarks/peer_script.py MODEL IMAGE_OR_FOLDER OUTPUT [--batched]
MODEL is a TorchScript file. The labels go to a CSV.
"""

import csv
import sys
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

SIZE = 28
transform = transforms.Compose(
    [transforms.Grayscale(), transforms.Resize((SIZE, SIZE), antialias=True), transforms.ToTensor()]
)


class Images(Dataset):
    def __init__(self, paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return transform(Image.open(self.paths[index]))


def one_by_one(model, paths):
    for path in paths:
        with torch.no_grad():
            yield model(transform(Image.open(path)).unsqueeze(0)).argmax(1).item()


def batched(model, paths):
    with torch.no_grad():
        for images in DataLoader(Images(paths), batch_size=64, num_workers=2):
            yield from model(images).argmax(1).tolist()


if __name__ == "__main__":
    model_file, source, output, *flags = sys.argv[1:]
    model = torch.jit.load(model_file)
    model.eval()
    found = sorted(Path(source).iterdir()) if Path(source).is_dir() else [Path(source)]
    read = batched if flags else one_by_one
    with open(output, "w", newline="") as file:  # noqa: PTH123
        writer = csv.writer(file)
        writer.writerows(
            [path.as_posix(), label] for path, label in zip(found, read(model, found), strict=True)
        )
