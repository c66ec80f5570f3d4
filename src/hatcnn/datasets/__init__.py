"""Who is in which picture: Market-1501, pictures of your own, synthetic people."""

from hatcnn.datasets.holdout import hold_out
from hatcnn.datasets.opening import open_dataset
from hatcnn.datasets.pack import PackedSplit, pack
from hatcnn.datasets.samples import DISTRACTOR, Dataset, Sample, Split, Store

__all__ = [
    "DISTRACTOR",
    "Dataset",
    "PackedSplit",
    "Sample",
    "Split",
    "Store",
    "hold_out",
    "open_dataset",
    "pack",
]
