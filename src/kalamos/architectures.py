"""Names of kalamos 0.1 for the classes of `kalamos.learn.models`, which whole-network pickles refer to.

`kalamos export -f full` of that version wrote files that name `kalamos.architectures.network.StagedNetwork`
and others. Unpickling one imports this module, which lets those names stand for the modules of today.
"""

from __future__ import annotations

import sys

from kalamos.learn.models import base, pretrained

for _name, _module in {
    "network": base,
    "blocks": base,
    "mobilenet": pretrained,
    "mobilenet_v2": pretrained,
    "timm_network": pretrained,
}.items():
    sys.modules[f"{__name__}.{_name}"] = _module
