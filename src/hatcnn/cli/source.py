"""How a data set is read: flags that every command with ``--data`` has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hatcnn.datasets import Dataset, open_dataset


@dataclass(frozen=True, kw_only=True)
class Source:
    """What cannot be told from the data set itself."""

    attributes: Path | None = None
    """Market-1501's market_attribute.mat, where it does not lie beside the pictures."""
    pattern: str | None = None
    """Regular expression for file names, with groups pid and camid."""

    def open(self, root: str) -> Dataset:
        """The data set at `root`; see `open_dataset`."""
        return open_dataset(root, attributes=self.attributes, pattern=self.pattern)
