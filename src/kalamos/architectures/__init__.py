"""Networks by name, one small module each.

Every network takes float32 [N, 1, S, S] and returns logits float32 [N, num_classes]; its stages,
in order, are what feature maps are exported from.

>>> from kalamos.architectures import ARCHITECTURES, build, count_parameters
>>> network = build("kalamos_xs", num_classes=10)
>>> count_parameters(network)
86218
>>> ARCHITECTURES.names()[:4]
('cnn2', 'cnn3', 'cnn64', 'kalamos_cx')
"""

# They register themselves.
from kalamos.architectures import cnn2 as _cnn2  # noqa: F401
from kalamos.architectures import cnn3 as _cnn3  # noqa: F401
from kalamos.architectures import cnn64 as _cnn64  # noqa: F401
from kalamos.architectures import kalamos_cx as _kalamos_cx  # noqa: F401
from kalamos.architectures import kalamos_m as _kalamos_m  # noqa: F401
from kalamos.architectures import kalamos_s as _kalamos_s  # noqa: F401
from kalamos.architectures import kalamos_xs as _kalamos_xs  # noqa: F401
from kalamos.architectures import lenet_bn as _lenet_bn  # noqa: F401
from kalamos.architectures import mobilenet_v2 as _mobilenet_v2  # noqa: F401
from kalamos.architectures import mobilenet_v3_small as _mobilenet_v3_small  # noqa: F401
from kalamos.architectures.network import (
    ARCHITECTURES,
    StagedNetwork,
    build,
    check_input_size,
    count_parameters,
)

__all__ = ["ARCHITECTURES", "StagedNetwork", "build", "check_input_size", "count_parameters"]
