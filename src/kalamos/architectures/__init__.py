"""Networks by name, one small module each.

Every network takes float32 [N, 1, S, S] and returns logits float32 [N, num_classes]; its stages,
in order, are what feature maps are exported from.

>>> from kalamos.architectures import build, count_parameters
>>> network = build("kalamos_xs", num_classes=10)
>>> count_parameters(network)
90362
"""

from kalamos.architectures import kalamos_xs as _kalamos_xs  # noqa: F401  (registers itself)
from kalamos.architectures.network import ARCHITECTURES, StagedNetwork, build, count_parameters

__all__ = ["ARCHITECTURES", "StagedNetwork", "build", "count_parameters"]
