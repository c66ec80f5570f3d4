"""The vector index of large galleries: when there is one, how it is asked, how good it is.

It is LanceDB's IVF with RaBitQ codes of one bit a number, which need no training and so are made in
a small part of the time that product quantisation takes. The codes choose, the stored vectors of
the chosen decide.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hatcnn.gallery.exact import Numbers, best, scored, unit
from hatcnn.gallery.schema import Floats
from hatcnn.gallery.store import VECTOR_INDEX, Snapshot, Store

PARTITION = 4096
"""Entries of a partition; smaller partitions take longer to make and find no more."""
PROBES = 40
"""Partitions that a search looks into; more where a filter leaves too few entries in them."""
REFINE = 30
"""So many times the entries asked for are compared again by their stored vectors."""
LARGEST_K = 1000
"""Beyond so many entries asked for, comparing all is as quick."""
STALE_SHARE = 0.1
"""Share of entries outside the index, compared one by one, from which it is brought up to date."""


def build_index(store: Store) -> None:
    """Make or remake the index; searches go on without it or with the old one."""
    from lancedb.index import IvfRq

    def change(table: Any) -> None:
        snapshot = Snapshot(table)
        table.create_index(
            "vector",
            config=IvfRq(
                distance_type="cosine",
                num_partitions=max(1, snapshot.count // PARTITION),
            ),
            name=VECTOR_INDEX,
        )

    store.commit(change)


def refresh_index(store: Store) -> None:
    """Make the index where the gallery has become large; bring it up to date where it lags.

    The caller holds the lock.
    """
    snapshot = store.snapshot()
    if snapshot is None or snapshot.is_small or snapshot.dimension % 8:
        # The codes fill whole bytes; networks with other dimensions are rare, and searched exactly.
        return
    statistics = index_statistics(snapshot)
    if statistics is None:
        build_index(store)
    elif statistics.num_unindexed_rows > STALE_SHARE * snapshot.count:
        # Also merges small files, which so many new entries have left.
        store.optimize(keep_s=3600, unreferenced=False)


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
    search = (
        snapshot.table.search(query.astype(snapshot.stored), vector_column_name="vector")
        .distance_type("cosine")
        .minimum_nprobes(PROBES)
        .maximum_nprobes(0)
        .refine_factor(REFINE)
        .select(["vector", "_distance"])
        .with_row_id(True)
        .limit(k)
    )
    if where:
        search = search.where(where, prefilter=True)
    found = search.to_arrow()
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
    nearest = _nearest(snapshot, vectors, k)
    shares = [len(f & n) / len(n) for f, n in zip(found, nearest, strict=True)]
    return float(np.mean(shares))


def _nearest(snapshot: Snapshot, queries: Floats, k: int) -> list[set[int]]:
    """By exact search, reading the gallery once for all queries."""
    rows = [np.empty(0, np.int64)] * len(queries)
    scores = [np.empty(0, np.float32)] * len(queries)
    for block in snapshot.stream(None):
        for i, query in enumerate(queries):
            rows[i], scores[i] = best([(rows[i], scores[i]), *scored([block], query)], k)
    return [set(r.tolist()) for r in rows]
