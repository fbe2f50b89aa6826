"""Checkpoints: one safetensors file each, without pickle, whole or not at all.

`last.safetensors` holds the state after the last epoch, its plain values as JSON in the file's own
metadata; `best.safetensors` the weights of the best epoch.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load, save
from torch import Tensor

from kalamos.atomic import write_bytes
from kalamos.errors import TrainingError
from kalamos.training.state import TrainingState

__all__ = ["BEST", "LAST", "Checkpoints", "read_weights", "write_weights"]

LAST, BEST = "last.safetensors", "best.safetensors"
AFRESH = f"remove {LAST} to begin this run again from its first epoch"


def write_weights(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    content = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, metadata)
    write_bytes(path, content)


def read_weights(path: Path) -> dict[str, Tensor]:
    return load(path.read_bytes())


class Checkpoints:
    """The two checkpoints of a run folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, state: TrainingState, *, improved: bool) -> None:
        """Write the state, and first the best weights, so that the state never refers to older ones."""
        if improved:
            write_weights(self._folder / BEST, state.best)
        plain = json.dumps(state.to_plain())
        write_weights(self._folder / LAST, state.to_tensors(), {"state": plain})

    def restore(self, state: TrainingState) -> None:
        """Bring `state` to where the last checkpoint was; nothing happens where there is none yet.

        Raises:
            TrainingError: a checkpoint is damaged, or belongs to another recipe.
        """
        last, best = self._folder / LAST, self._folder / BEST
        if not last.exists():
            return
        try:
            with safe_open(last, "pt") as file:
                plain = json.loads((file.metadata() or {})["state"])
            weights = read_weights(best)
            _check_best(weights, state.kept.state_dict())
            state.restore(read_weights(last), plain, weights)
        except TrainingError as error:
            raise TrainingError(f"{last}: {error.problem}", remedy=AFRESH) from error
        except Exception as error:  # whatever safetensors and JSON have against what somebody else wrote
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise TrainingError(
                f"{self._folder}: its checkpoint cannot be read ({first})", remedy=AFRESH
            ) from error


def _check_best(weights: dict[str, Tensor], network: dict[str, Tensor]) -> None:
    if {name: value.shape for name, value in weights.items()} != {k: v.shape for k, v in network.items()}:
        raise TrainingError(f"{BEST} has the weights of another network")
