"""`kalamos_m`: at most 1M parameters for characters of 28 to 64 px; `kalamos_s`, wider.

For 28x28 pixels:

| stage  | layers                                       | output   | parameters  |
|--------|----------------------------------------------|----------|-------------|
| stem   | convolution 5x5, batch norm, ReLU            | 48x24x24 |       1,296 |
| wide   | max-pool 2, residual of two                  | 48x12x12 |      41,664 |
| middle | max-pool 2, convolution 3x3, residual of two | 96x6x6   |     207,936 |
| deep   | max-pool 2, convolution 3x3, residual of two | 160x3x3  |     600,000 |
| head   | mean and maximum, dense                      | classes  | 321 a class |

854,106 parameters for 10 classes, 865,983 for 47; 19.5 million multiplications an image.
"""

from __future__ import annotations

from kalamos.architectures.kalamos_s import residual_network
from kalamos.architectures.network import ARCHITECTURES, StagedNetwork


@ARCHITECTURES.register("kalamos_m")
def kalamos_m(num_classes: int) -> StagedNetwork:
    return residual_network(num_classes, widths=(48, 96, 160), last_depth=2)
