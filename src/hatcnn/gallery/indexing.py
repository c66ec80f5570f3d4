"""The vector index of large galleries: when there is one, how it is asked, how good it is.

It is LanceDB's IVF with RaBitQ codes of one bit a number, which need no training and so are made in
a small part of the time that product quantisation takes. The codes choose, the stored vectors of
the chosen decide.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from hatcnn.gallery.exact import Numbers, best, scored, unit
from hatcnn.gallery.schema import Floats
from hatcnn.gallery.store import VECTOR_INDEX, Snapshot, Store

PARTITION = 1024
"""Entries of a partition: four times as many find less for the same number of comparisons."""
SAMPLE, ITERATIONS = 64, 15
"""Entries a partition that its centre is found from, and steps of finding it."""
PROBES, PROBES_FILTERED = 80, 200
"""Partitions that a search looks into; where a filter leaves few entries, the nearest of them are
further away, and so in more partitions. Twice as many for more than 100 entries."""
REFINE, CANDIDATES = 10, 200
"""So many times the entries asked for are compared again by their stored vectors, at least so many
entries."""
LARGEST_K = 1000
"""Beyond so many entries asked for, comparing all is as quick."""
FILTERED = {"camera": "Bitmap", "upper": "Bitmap", "lower": "Bitmap", "seen_at": "BTree"}
"""Columns with an index of their own beside that of the vectors, by LanceDB's name of its kind.

They have few values or an order; without one, a filter reads its columns of all entries each time.
"""
STALE_SHARE = 0.1
"""Share of entries outside the index, compared one by one, from which it is brought up to date."""


def build_index(store: Store, *, on_cluster: bool = False) -> None:
    """Make or remake the index; searches go on without it or with the old one.

    Args:
        store: of the gallery.
        on_cluster: by the Ray cluster that this process has joined.

    Raises:
        ConfigError: when what building on a cluster needs is not installed.
        GalleryError: when it cannot be written.
    """
    from lancedb import index

    if on_cluster:
        from hatcnn.gallery.cluster import build_on_cluster

        snapshot = store.snapshot()
        assert snapshot is not None
        build_on_cluster(store, partitions(snapshot.count), sample=SAMPLE, iterations=ITERATIONS)
    else:

        def change(table: Any) -> None:
            of_all = partitions(table.count_rows())
            config = index.IvfRq(
                distance_type="cosine",
                num_partitions=of_all,
                sample_rate=SAMPLE,
                max_iterations=ITERATIONS,
            )
            table.create_index("vector", config=config, name=VECTOR_INDEX)

        store.commit(change)
    for column, kind in FILTERED.items():
        config = getattr(index, kind)()
        store.commit(partial(_index_column, column=column, config=config))


def _index_column(table: Any, *, column: str, config: Any) -> None:
    table.create_index(column, config=config)


def partitions(entries: int) -> int:
    """Into how many the index of so many entries is divided."""
    return max(1, entries // PARTITION)


def refresh_index(store: Store, *, on_cluster: bool = False) -> None:
    """Make the index where the gallery has become large; make it anew where it lags.

    The caller holds the lock.
    """
    snapshot = store.snapshot()
    if snapshot is None or snapshot.is_small or snapshot.dimension % 8:
        # The codes fill whole bytes; networks with other dimensions are rare, and searched exactly.
        return
    statistics = index_statistics(snapshot)
    if statistics is None or statistics.num_unindexed_rows > STALE_SHARE * snapshot.count:
        build_index(store, on_cluster=on_cluster)


def drop_indices(store: Store) -> None:
    """Remove every index from the newest version."""

    def change(table: Any) -> None:
        for index in table.list_indices():
            table.drop_index(index.name)

    store.commit(change)


def index_statistics(snapshot: Snapshot) -> Any | None:
    """LanceDB's `IndexStatistics` of the vector index; none without one."""
    return snapshot.table.index_stats(VECTOR_INDEX)


def ask_index(
    snapshot: Snapshot, query: Floats, k: int, where: str | None
) -> tuple[Numbers, Floats]:
    """Up to k row numbers and cosine similarities, best first.

    Entries that the index does not hold yet are compared as well.
    """
    wide = (PROBES_FILTERED if where else PROBES) * (1 if k <= 100 else 2)
    search = (
        snapshot.table.search(query.astype(snapshot.stored), vector_column_name="vector")
        .distance_type("cosine")
        .refine_factor(max(REFINE, -(-CANDIDATES // k)))
        .select(["vector", "_distance"])
        .with_row_id(True)
        .limit(k)
    )
    if where:
        search = search.where(where, prefilter=True)
    found = search.minimum_nprobes(wide).maximum_nprobes(wide).to_arrow()
    if len(found) < min(k, snapshot.count):
        # What passes lies elsewhere: without a limit it is looked for everywhere. That takes
        # several times as long even where nothing is missing, so it is asked for only here.
        found = search.maximum_nprobes(0).to_arrow()
    vectors = found["vector"].combine_chunks().flatten().to_numpy()
    rows = found["_rowid"].to_numpy().astype(np.int64)
    block = rows, unit(vectors.reshape(-1, snapshot.dimension))
    # Scored as the exact search does it, so that both say the same of the same entry.
    return best(scored([block], query), k)


def measure_recall(snapshot: Snapshot, queries: int, k: int) -> float | None:
    """Mean share of the k nearest by exact search that the index finds; none without an index.

    Args:
        queries: entries that are looked for, evenly spread over the gallery.
        k: neighbours of each.
    """
    if index_statistics(snapshot) is None or not snapshot.count:
        return None
    rows = snapshot.rows(["id"], None)["_rowid"].to_numpy().astype(np.int64)
    chosen = rows[np.linspace(0, len(rows) - 1, min(queries, len(rows))).astype(np.int64)]
    taken = snapshot.take(chosen, ["vector"])
    vectors = unit(np.array([row["vector"] for row in taken]))
    found = [set(ask_index(snapshot, vector, k, None)[0].tolist()) for vector in vectors]
    exact = [set(rows.tolist()) for rows in nearest(snapshot, vectors, k, None)]
    shares = [len(f & n) / len(n) for f, n in zip(found, exact, strict=True)]
    return float(np.mean(shares))


def nearest(snapshot: Snapshot, queries: Floats, k: int, where: str | None) -> list[Numbers]:
    """Row numbers of each query's k nearest, by comparing all, reading the gallery once.

    Args:
        snapshot: to search.
        queries: (n, d) float32 of length 1.
        k: entries of each answer.
        where: SQL of the entries that are compared.
    """
    rows = [np.empty(0, np.int64)] * len(queries)
    scores = [np.empty(0, np.float32)] * len(queries)
    for numbers, vectors in snapshot.stream(where):
        for i, alike in enumerate(queries @ vectors.T):
            rows[i], scores[i] = best([(rows[i], scores[i]), (numbers, alike)], k)
    return rows
