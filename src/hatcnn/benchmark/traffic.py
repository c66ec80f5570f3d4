"""Arithmetic and memory traffic of a network, counted operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from hatcnn.models.kernels.tensors import observers

_VIEWS = {"view", "_unsafe_view", "expand", "transpose", "permute", "t", "slice", "select"}
_VIEWS |= {"split", "unbind", "chunk", "squeeze", "unsqueeze", "as_strided", "alias", "detach"}


@dataclass(frozen=True)
class Traffic:
    """What a piece of work computes and moves.

    Attributes:
        flops: multiplications and additions of matrix products and convolutions.
        bytes: read and written, if every operation reads its inputs and writes its outputs once
            and nothing stays in a cache.
    """

    flops: int
    bytes: int


def count_traffic(work: Callable[[], object]) -> Traffic:
    """Run `work` once and count; backward passes inside it are counted too."""
    counter = _Counter()
    observers.append(counter.kernel)
    try:
        with FlopCounterMode(display=False) as flops, counter:
            work()
    finally:
        observers.remove(counter.kernel)
    return Traffic(int(flops.get_total_flops()) + counter.flops, counter.bytes)


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ not in _VIEWS:
            self.add([t for t in tree_leaves((args, kwargs, result)) if isinstance(t, Tensor)])
        return result

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Count tensors that are read or written once."""
        self.bytes += sum(t.numel() * t.element_size() for t in tensors)

    def kernel(self, tensors: Sequence[Tensor], flops: int) -> None:
        """Count what one of our kernels reads and computes."""
        self.add(tensors)
        self.flops += flops
