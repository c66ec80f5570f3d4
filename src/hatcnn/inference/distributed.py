"""Embedding on many machines by Ray Data.

Workers read, decode and embed blocks of pictures; one process, the caller's, receives what they
found, in the pictures' order. A worker that dies is started again by Ray and its block embedded
again, so that nothing is lost, and nothing comes twice because only a whole block is handed on.

Every machine needs hatcnn, the model and the pictures under the same paths.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from hatcnn.errors import ConfigError, ImageError
from hatcnn.inference.embeddings import Embeddings
from hatcnn.progress import progress

BLOCK = 256
"""Pictures that a worker embeds at a time, and embeds again when it is lost."""

PATIENCE_S = 5.0
"""Seconds in which the cluster must answer."""

Load = Callable[[], Any]
"""Makes an `Embedder`; called once in every worker."""


def connect(address: str) -> None:
    """Join a Ray cluster, or start one on this machine.

    Args:
        address: such as ``10.0.0.1:6379`` or ``ray://10.0.0.1:10001``; ``auto`` for the one that
            this machine is in, ``local`` for a new one of this machine alone.

    Raises:
        ConfigError: when Ray is not installed or the cluster cannot be reached.
    """
    # Ray reports its use over the network unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError:
        raise ConfigError(
            'many machines need Ray, which is not installed: pip install "hatcnn[distributed]"'
        ) from None
    if ray.is_initialized():
        return
    _knock(address)
    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"cannot join the Ray cluster at {address}: {said}") from None


def _knock(address: str) -> None:
    """See that somebody listens: Ray itself waits for minutes, and then ends the process.

    Raises:
        ConfigError: when nobody does, or it is no address.
    """
    if address in ("auto", "local"):
        return
    # Port 10001 is that of ray:// unless it says otherwise.
    split = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = split.hostname, split.port or (10001 if split.scheme == "ray" else None)
    except ValueError:
        host, port = None, None
    if host is None or port is None:
        raise ConfigError(
            f"{address!r} is no address of a Ray cluster; expected such as 10.0.0.1:6379, "
            "ray://10.0.0.1:10001, auto or local"
        )
    try:
        socket.create_connection((host, port), timeout=PATIENCE_S).close()
    except OSError as error:
        raise ConfigError(
            f"cannot join the Ray cluster at {address}: {error.strerror or error}; is it running "
            "('ray start --head --disable-usage-stats' there), and may this machine reach it?"
        ) from None


def embed_on_cluster(
    load: Load,
    pictures: Sequence[str | Path],
    *,
    quality: bool = False,
    strict: bool = False,
    with_bytes: bool = False,
    part: int = 2000,
    block: int = BLOCK,
) -> Iterator[tuple[Embeddings, list[bytes]]]:
    """Embed picture files on the cluster that this process has joined; see `connect`.

    Args:
        load: makes the network in each worker.
        pictures: files.
        quality: flag pictures that say little of a person.
        strict: raise at the first unreadable picture instead of skipping it.
        with_bytes: also hand on the pictures' files.
        part: pictures handed on at a time.
        block: pictures that a worker embeds at a time.

    Yields:
        Embeddings of a part of the pictures, in their order, with those that were skipped; and the
        bytes of the embedded ones' files, an empty list unless asked for.

    Raises:
        ImageError: for an unreadable picture, when `strict`.
    """
    import ray

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    names = [str(path) for path in pictures]
    workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
    rows = ray.data.from_arrow(
        [pa.table({"name": names[at : at + block]}) for at in range(0, len(names), block)]
    ).map_batches(
        _Worker,
        fn_constructor_args=(load, quality, with_bytes),
        batch_size=block,
        batch_format="pyarrow",
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
    )
    with progress("embedding", len(names), "pictures") as advance:
        for table in rows.iter_batches(batch_size=part, batch_format="pyarrow"):
            people, files = _received(table)
            if strict and people.skipped:
                raise ImageError(people.skipped[0][1])
            yield people, files
            advance(len(table))


def joined(parts: Sequence[Embeddings]) -> Embeddings:
    """One after the other, of which there is at least one."""
    filled = [p for p in parts if len(p)] or [parts[0]]
    attributes = [p.attributes for p in filled if p.attributes is not None]
    flags = [p.flags for p in filled if p.flags is not None]
    return Embeddings(
        vectors=np.concatenate([p.vectors for p in filled]),
        attributes=np.concatenate(attributes) if attributes else None,
        names=tuple(name for p in filled for name in p.names),
        skipped=tuple(entry for p in parts for entry in p.skipped),
        flags=tuple(f for of_part in flags for f in of_part) if flags else None,
        fingerprint=filled[0].fingerprint,
    )


class _Worker:
    """In a process of Ray's: a network, and blocks of names that become rows."""

    def __init__(self, load: Load, quality: bool, with_bytes: bool) -> None:
        self.embedder = load()
        self.quality = quality
        self.with_bytes = with_bytes

    def __call__(self, block: pa.Table) -> pa.Table:
        files: list[tuple[str, Any]] = []
        for name in block["name"].to_pylist():
            try:
                # Read once, for the network and for whoever wants the bytes.
                files.append((name, Path(name).read_bytes()))
            except OSError:
                # Named as unreadable, in the same words as elsewhere.
                files.append((name, Path(name)))
        options = {"quality": True} if self.quality else {}
        people = self.embedder.embed(files, **options)
        rows = {name: i for i, name in enumerate(people.names)}
        skipped = dict(people.skipped)
        order = [rows.get(name) for name, _ in files]

        def column(values: Sequence[Any] | None, kind: pa.DataType) -> pa.Array:
            picked = [None if r is None or values is None else values[r] for r in order]
            return pa.array(picked, kind)

        numbers, attributes = pa.list_(pa.float32()), people.attributes
        content = [
            data if self.with_bytes and isinstance(data, bytes) else None for _, data in files
        ]
        return pa.table(
            {
                "name": block["name"],
                "vector": column(list(people.vectors), numbers),
                "attributes": column(None if attributes is None else list(attributes), numbers),
                "flags": column(people.flags, pa.list_(pa.string())),
                "reason": pa.array([skipped.get(name) for name, _ in files], pa.string()),
                "content": pa.array(content, pa.binary()),
                "fingerprint": pa.array([people.fingerprint] * len(files), pa.string()),
            }
        )


def _received(table: pa.Table) -> tuple[Embeddings, list[bytes]]:
    """What rows of `_Worker` say, and the files' bytes where they came along."""
    bad = table.filter(table["reason"].is_valid())
    good = table.filter(table["vector"].is_valid())
    flags = good["flags"]
    people = Embeddings(
        vectors=_matrix(good["vector"]),
        attributes=_matrix(good["attributes"]) if not good["attributes"].null_count else None,
        names=tuple(good["name"].to_pylist()),
        skipped=tuple(zip(bad["name"].to_pylist(), bad["reason"].to_pylist(), strict=True)),
        flags=None if flags.null_count else tuple(map(tuple, flags.to_pylist())),
        fingerprint=table["fingerprint"][0].as_py() if len(table) else "",
    )
    files = good["content"]
    return people, [] if files.null_count else files.to_pylist()


def _matrix(column: pa.ChunkedArray) -> Any:
    values = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return values.astype(np.float32).reshape(len(column), -1) if len(column) else (
        np.empty((0, 0), np.float32)
    )  # fmt: skip
