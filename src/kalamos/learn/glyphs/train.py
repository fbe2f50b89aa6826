"""Train the base model by a cosine softmax over all characters, and write it as ONNX."""

from __future__ import annotations

import hashlib
import io
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from kalamos._version import __version__
from kalamos.alphabets import BASE_LABELS, Alphabet
from kalamos.errors import ExportError
from kalamos.learn.augment import augment
from kalamos.learn.distributed import choose_precision
from kalamos.learn.export.onnx_format import encode_onnx, round_to_half, store_as_half, with_spec
from kalamos.learn.glyphs.pool import HAND_SETS, STEPS, GlyphImages
from kalamos.learn.glyphs.recipe import GlyphRecipe
from kalamos.learn.models import StagedNetwork
from kalamos.learn.models.base import count_parameters
from kalamos.learn.models.embedding import INPUT_SIZE, LOGIT_SCALE, EmbeddingHead, kalamos_glyphs
from kalamos.learn.step_trainer import StepTrainer
from kalamos.model_file import ModelSpec, TrainingRecord
from kalamos.zoo import NOTO_FONTS

__all__ = ["Embedder", "embed", "encode_glyphs", "encode_others", "glyph_trainer"]

N_OTHERS: Final = 2_300
"""Characters of many scripts that alphabets of one's own are told from."""

N_OUTLIERS: Final = 300
"""Scribbles, shapes and textures besides."""

MAX_PER_SCRIPT: Final = 40
"""Characters of one script among those."""

MAX_BYTES: Final = 1_500_000
"""Of the file."""


class Embedder(nn.Module):
    """Normalised images float32 [N, 1, 40, 40] -> embeddings float32 [N, 192] of length 1.

    Args:
        half: compute the stages in bf16.
    """

    def __init__(self, network: StagedNetwork, *, half: bool = False) -> None:
        super().__init__()
        self.stages, self.head, self.bf16 = network.stages, network.head, half

    def forward(self, images: Tensor) -> Tensor:
        head = self.head
        assert isinstance(head, EmbeddingHead)  # noqa: S101  (of `kalamos_glyphs`)
        maps = {}
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            for name, stage in self.stages.items():
                images = stage(images)
                maps[name] = images
        # Depthwise convolutions are slow in bf16.
        return head.embeddings(maps["middle"].float(), maps["deep"].float())


class _Sampler:
    """Rows of batches: so many hands and so many fonts, each class as often."""

    def __init__(self, data: GlyphImages, recipe: GlyphRecipe) -> None:
        self._recipe = recipe
        self._rows = [_by_class(data.labels, np.flatnonzero(data.hands == kind)) for kind in (False, True)]
        n_hands = round(recipe.hands * recipe.batch_size)
        self._counts = (recipe.batch_size - n_hands, n_hands)

    def rows(self, step: int) -> NDArray[np.int64]:
        rng = np.random.default_rng((self._recipe.seed, 7, step))
        chosen = []
        for classes, count in zip(self._rows, self._counts, strict=True):
            which = rng.integers(len(classes), size=count).tolist()
            chosen += [int(classes[at][rng.integers(len(classes[at]))]) for at in which]
        return np.array(chosen, np.int64)


def _by_class(labels: NDArray[np.int64], rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order = rows[np.argsort(labels[rows], kind="stable")]
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def _batches(data: GlyphImages, recipe: GlyphRecipe) -> Iterator[tuple[Tensor, Tensor]]:
    """Draw each step's batch: images float32 [N, 1, 40, 40], augmented, and labels int64 [N]."""
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
    sampler = _Sampler(data, recipe)
    for step in range(1, recipe.steps + 1):
        rows = torch.from_numpy(sampler.rows(step))
        draw = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
        batch = images[rows].unsqueeze(1).float().div_(255)
        yield augment(batch, recipe.augmentation, draw, count=len(rows)), labels[rows]


def glyph_trainer(
    recipe: GlyphRecipe, data: GlyphImages
) -> StepTrainer[StagedNetwork, tuple[Tensor, Tensor]]:
    """Make a network with a class for each character ready to be trained."""
    torch.manual_seed(recipe.seed)
    classes = len(data.characters)
    network = kalamos_glyphs(classes)
    head = network.head
    assert isinstance(head, EmbeddingHead)  # noqa: S101  (of `kalamos_glyphs`)
    embedder = Embedder(network, half=choose_precision("auto", "cpu", network.stages) is not None)

    def batch_loss(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, int]:
        images, labels = batch
        embedded = embedder(images.to(memory_format=torch.channels_last))
        cosines = embedded @ F.normalize(head.classifier.weight).T
        right = F.one_hot(labels, classes).to(cosines.dtype)
        return F.cross_entropy(recipe.scale * (cosines - recipe.margin * right), labels), len(labels)

    return StepTrainer(recipe, network, _batches(data, recipe), batch_loss)


def encode_glyphs(network: StagedNetwork, recipe: GlyphRecipe, n: int) -> bytes:
    """Encode a network as a model file without classes of its own: its labels say so.

    Weights are rounded to float16, half the file.

    Args:
        n: images that it learned from.

    Raises:
        ExportError: the file is too large, or answers otherwise than the network.
    """
    base = kalamos_glyphs(len(BASE_LABELS)).eval()
    # The classes of the training are of no use to anyone else's alphabet.
    kept = {key: value for key, value in network.state_dict().items() if not key.startswith(base.head_keys)}
    base.load_state_dict(kept, strict=False)
    classifier = base.get_submodule("head.classifier")
    for parameter in classifier.parameters():
        nn.init.zeros_(parameter)
    base = round_to_half(base)
    today = datetime.now(UTC).date().isoformat()
    spec = ModelSpec(
        name="glyphs",
        architecture="kalamos_glyphs",
        parameters=count_parameters(base),
        alphabet=Alphabet("glyphs", BASE_LABELS),
        preprocessing=STEPS,
        input_size=INPUT_SIZE,
        temperature=1.0,
        min_confidence=0.0,
        feature_maps=tuple(base.stages),
        training=TrainingRecord(
            dataset=NOTO_FONTS,
            split="all",
            n=n,
            sha256=hashlib.sha256(json.dumps(asdict(recipe), sort_keys=True).encode()).hexdigest(),
            recipe={**asdict(recipe), "dataset": NOTO_FONTS, "also": [*HAND_SETS, "unipen"]},
            seed=recipe.seed,
            date=today,
            torch=torch.__version__,
        ),
        metrics=(),
        licence="Apache-2.0",
        kalamos_version=__version__,
        created=today,
    )
    model = onnx.load_from_string(encode_onnx(base, spec))
    store_as_half(model)
    content = with_spec(model, spec)
    if len(content) > MAX_BYTES:
        raise ExportError(f"the base model takes {len(content):,} bytes, where {MAX_BYTES:,} are the most")
    return content


def encode_others(network: StagedNetwork, data: GlyphImages, outliers: NDArray[np.uint8], seed: int) -> bytes:
    """Embed characters of many scripts, and what is no character, to tell alphabets from: an .npz file.

    Args:
        outliers: uint8 [N, 40, 40], what is no character.

    Returns:
        An int8 array `embeddings` [M, D], see `kalamos.finetune.prototypes.other_characters`, and its
        `scale`: embeddings are the integers times it.
    """
    rng = np.random.default_rng((seed, 9))
    fonts = np.flatnonzero(~data.hands)
    _, first = np.unique(data.labels[fonts], return_index=True)
    scripts: dict[str, list[int]] = {}
    for row in rng.permutation(fonts[first]).tolist():
        script = unicodedata.name(data.characters[data.labels[row]][0], "?").split()[0]
        scripts.setdefault(script, []).append(row)
    chosen = rng.permutation([row for rows in scripts.values() for row in rows[:MAX_PER_SCRIPT]])
    embedded = embed(network, np.concatenate([data.images[chosen[:N_OTHERS]], outliers]))
    scale = np.float32(np.abs(embedded).max() / 127)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, embeddings=np.rint(embedded / scale).astype(np.int8), scale=scale)
    return buffer.getvalue()


@torch.inference_mode()
def embed(network: StagedNetwork, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Embed prepared images uint8 [N, 40, 40]: float32 [N, D], as long as the classifier sees them."""
    embedder = Embedder(network).eval()
    batches = [torch.from_numpy(images[start : start + 256]) for start in range(0, len(images), 256)]
    found = torch.cat([LOGIT_SCALE * embedder(batch.unsqueeze(1).float() / 255) for batch in batches])
    return found.numpy()
