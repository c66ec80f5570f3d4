"""What the paper reports on Market-1501: single query, per cent. Facts, with their place."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A row of Table 1."""

    method: str
    rank_1: float
    mAP: float


TABLE_1 = (
    Published("MSCAN", 80.3, 57.5),
    Published("DLPA", 81.0, 63.4),
    Published("PDC", 84.1, 63.4),
    Published("HA-CNN", 91.2, 75.7),
    Published("HAT-CNN", 91.0, 76.7),
)
"""As printed. The last row's pair never occurs together: see `WITH_ATTRIBUTES`."""

EPOCHS = 240
"""Where the curves of Figures 2 to 4 end."""

WITH_ATTRIBUTES = Published("HAT-CNN, ranked with attributes", 91.0, 76.2)
WITHOUT_ATTRIBUTES = Published("HAT-CNN, ranked without", 90.6, 76.6)
"""The ends of the curves of Figures 2 and 3: the same weights, epoch 240."""

LOCAL_JOINT = Published("local branch predicts attributes too", 89.3, 72.3)
"""Figure 4, at its epoch 260."""
