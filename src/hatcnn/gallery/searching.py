"""Searches on one version of the gallery."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hatcnn.attributes import NAMES
from hatcnn.errors import EntryError, GalleryError
from hatcnn.gallery.exact import BLOCK, Block, Numbers, best, scored, unit
from hatcnn.gallery.filters import Filter
from hatcnn.gallery.indexing import LARGEST_K, ask_index
from hatcnn.gallery.matches import Entry, Match, Matches, Ranked
from hatcnn.gallery.reranking import reranked
from hatcnn.gallery.schema import DESCRIPTION, Floats
from hatcnn.gallery.scores import Meaning
from hatcnn.gallery.sql import in_list, not_from, to_sql
from hatcnn.gallery.store import Snapshot
from hatcnn.gallery.words import Trait

Excluded: TypeAlias = str | int | Iterable[str | int] | Literal[True] | None


@dataclass(frozen=True, eq=False)
class Question:
    """What is looked for.

    Attributes:
        vector: (d) float32 of length 1.
        ids: of the entries that ask, which are no answer.
        cameras: of those entries.
    """

    vector: Floats
    ids: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()


def fused(vectors: Floats) -> Floats:
    """One vector for several pictures of a person: their mean, of length 1.

    Raises:
        GalleryError: when there are none, or they cancel each other out.
    """
    if not len(vectors):
        raise GalleryError("search: no vectors; was the picture skipped?")
    mean = vectors.mean(axis=0)
    length = float(np.linalg.norm(mean))
    if length < 1e-6:
        raise GalleryError("search: the pictures have nothing in common; search with one of them")
    return np.asarray(mean / length, np.float32)


def question_of_entries(snapshot: Snapshot, ids: Sequence[str]) -> Question:
    """Look for the person of entries inside."""
    entries = snapshot.take(find_ids(snapshot, ids), ["id", "vector", "camera"])
    return Question(
        fused(unit(np.array([entry["vector"] for entry in entries]))),
        tuple(entry["id"] for entry in entries),
        tuple({entry["camera"] for entry in entries if entry["camera"] is not None}),
    )


def search(
    snapshot: Snapshot,
    question: Question,
    *,
    top_k: int,
    offset: int,
    where: Filter | None,
    exclude_camera: Excluded,
    group_by: Literal["identity", "tracklet"] | None,
    exact: bool,
    meaning: Meaning,
    rerank: int | None,
) -> Matches:
    """See `Gallery.search`."""
    meaning.check(snapshot)
    parts = [to_sql(where)] if where else []
    if question.ids:
        parts.append(f"not {in_list('id', question.ids)}")
    cameras = _cameras(exclude_camera, question)
    if cameras:
        parts.append(not_from(cameras))
    sql = " and ".join(f"({part})" for part in parts) or None
    wanted = min(offset + top_k, snapshot.count)
    anew = min(rerank or 0, snapshot.count)
    by_index = not exact and _index_can(snapshot, max(wanted, anew))

    def nearest(k: int) -> tuple[Numbers, Floats]:
        if by_index and k <= LARGEST_K:
            return ask_index(snapshot, question.vector, k, sql)
        return best(scored(_blocks(snapshot, sql), question.vector), k)

    def ordered(k: int) -> tuple[Numbers, Floats]:
        rows, scores = nearest(max(k, anew))
        if anew:
            rows, scores = reranked(snapshot, question.vector, rows, scores, anew)
        # After it: those that are too little alike still tell who is whose neighbour.
        rows, scores = meaning.reached(rows, scores)
        return rows[:k], scores[:k]

    if group_by:
        rows, scores = _one_a_group(snapshot, ordered, wanted, group_by)
    else:
        rows, scores = ordered(wanted)
    return _matches(
        snapshot, rows, scores, offset, top_k, exact=not by_index, meaning=meaning, reranked=anew
    )


def search_many(
    snapshot: Snapshot,
    vectors: Floats,
    conditions: Sequence[Filter | None],
    *,
    top_k: int | None,
    exact: bool,
) -> Iterator[Ranked]:
    """See `Gallery.search_many`."""
    wanted = min(top_k or snapshot.count, snapshot.count)
    by_index = not exact and _index_can(snapshot, wanted)
    entries = snapshot.rows(["id"], None)
    numbers = entries["_rowid"].to_numpy().astype(np.int64)
    ids = np.array(entries["id"].to_pylist(), dtype=np.str_)
    for vector, condition in zip(vectors, conditions, strict=True):
        sql = to_sql(condition) if condition else None
        if by_index:
            rows, scores = ask_index(snapshot, vector, wanted, sql)
        else:
            rows, scores = best(scored(_blocks(snapshot, sql), vector), wanted)
        yield Ranked(ids[np.searchsorted(numbers, rows)], scores, exact=not by_index)


def describe(
    snapshot: Snapshot,
    traits: Sequence[Trait],
    *,
    top_k: int,
    offset: int,
    where: Filter | None,
) -> Matches:
    """See `Gallery.describe`."""
    names = [NAMES[trait.column] for trait in traits]
    known = " and ".join(f"{name} is not null" for name in names)
    sql = f"({to_sql(where)}) and {known}" if where else known
    table = snapshot.rows(names, sql)
    if not len(table) and not where:
        raise GalleryError(
            "no entry has attributes: embed with a model that predicts them, or search by picture"
        )
    logs = np.zeros(len(table))
    for trait, name in zip(traits, names, strict=True):
        chance = table[name].to_numpy().astype(np.float64)
        # A probability that was rounded to 0 may still be told from one that was not.
        logs += np.log(np.maximum(chance if trait.present else 1 - chance, 1e-12))
    numbers = table["_rowid"].to_numpy().astype(np.int64)
    rows, scores = best(
        [(numbers, np.exp(logs).astype(np.float32))], min(offset + top_k, len(logs))
    )
    return _matches(snapshot, rows, scores, offset, top_k, exact=True)


def alike(
    snapshot: Snapshot, rows: pa.Table, question: Question, threshold: float, where: str | None
) -> pa.Table:
    """Those rows whose similarity reaches the threshold; every one is compared."""
    near = [
        numbers[scores >= threshold]
        for numbers, scores in scored(_blocks(snapshot, where), question.vector)
    ]
    found = np.concatenate([np.empty(0, np.int64), *near]).astype(np.uint64)
    return rows.filter(pc.is_in(rows["_rowid"], pa.array(found)))


def full_ids(snapshot: Snapshot, given: Sequence[str]) -> list[str]:
    """Whole ids of the entries that are named by their ids or the beginnings of them.

    Raises:
        GalleryError: for what is no id, or begins several.
    """
    found = []
    for text in given:
        prefix = text.lower()
        if not re.fullmatch(r"[0-9a-f]{4,32}", prefix):
            raise GalleryError(
                f"{text!r} is no id of an entry; expected 32 hexadecimal digits or the first few"
            )
        if len(prefix) == 32:
            found.append(prefix)
            continue
        ids = snapshot.rows(["id"], f"starts_with(id, '{prefix}')")["id"].to_pylist()
        if len(ids) > 1:
            raise GalleryError(f"{len(ids)} entries have ids that begin with {text}: add digits")
        found += ids
    return found


def find_ids(snapshot: Snapshot, given: Sequence[str]) -> Numbers:
    """Row numbers of entries, by their ids or the beginnings of them; see `full_ids`."""
    ids = full_ids(snapshot, given)
    found, numbers = _rows_of_ids(snapshot, ids)
    for text in given:
        if not any(entry.startswith(text.lower()) for entry in found):
            raise no_entry(text)
    return np.unique(numbers)


def no_entry(entry: str) -> EntryError:
    """The error that nothing has this id."""
    return EntryError(f"no entry has the id {entry}; was it forgotten?")


def _rows_of_ids(snapshot: Snapshot, ids: Sequence[str]) -> tuple[list[str], Numbers]:
    """Those of the whole ids that are inside, and their row numbers."""
    if not snapshot.ids_fit_in_memory:
        rows = snapshot.rows(["id"], in_list("id", ids))
        return rows["id"].to_pylist(), rows["_rowid"].to_numpy().astype(np.int64)
    known, numbers = snapshot.ids
    wanted = np.array(ids, "S32")
    places = np.searchsorted(known, wanted)
    inside = places < len(known)
    inside[inside] = known[places[inside]] == wanted[inside]
    return [i for i, there in zip(ids, inside, strict=True) if there], numbers[places[inside]]


def _index_can(snapshot: Snapshot, k: int) -> bool:
    """Whether the index is there to propose k entries."""
    return not snapshot.is_small and k <= LARGEST_K and snapshot.has_index


def _blocks(snapshot: Snapshot, where: str | None) -> Iterator[Block]:
    """Vectors of the entries that pass, from memory or from disk."""
    if not snapshot.is_small:
        yield from snapshot.stream(where)
        return
    rows, vectors = snapshot.in_memory
    if where:
        passing = snapshot.rows(["id"], where)["_rowid"].to_numpy().astype(np.int64)
        chosen = np.searchsorted(rows, passing)
        for at in range(0, len(chosen), BLOCK):
            part = chosen[at : at + BLOCK]
            yield rows[part], vectors[part]
        return
    for at in range(0, len(rows), BLOCK):
        yield rows[at : at + BLOCK], vectors[at : at + BLOCK]


def _one_a_group(
    snapshot: Snapshot,
    nearest: Callable[[int], tuple[Numbers, Floats]],
    wanted: int,
    column: str,
) -> tuple[Numbers, Floats]:
    """The best entry of each group: ask for ever more entries until there are groups enough."""
    k = min(4 * wanted, snapshot.count)
    while True:
        rows, scores = nearest(k)
        groups = [row[column] for row in snapshot.take(rows, [column])]
        first: dict[Any, int] = {}
        for i, group in enumerate(groups):
            # Without a group an entry stands for itself.
            first.setdefault(("", i) if group is None else group, i)
        if len(first) >= wanted or len(rows) < k or k >= snapshot.count:
            kept = list(first.values())[:wanted]
            return rows[kept], scores[kept]
        k = min(4 * k, snapshot.count)


def _matches(
    snapshot: Snapshot,
    rows: Numbers,
    scores: Floats,
    offset: int,
    top_k: int,
    *,
    exact: bool,
    meaning: Meaning | None = None,
    reranked: int = 0,
) -> Matches:
    page = slice(offset, offset + top_k)
    entries = snapshot.take(rows[page], DESCRIPTION)
    chances = (meaning or Meaning()).probabilities(scores[page])
    found = zip(entries, scores[page].tolist(), chances, strict=True)
    return Matches(
        tuple(
            Match(offset + i, score, Entry.of(row), chance)
            for i, (row, score, chance) in enumerate(found, 1)
        ),
        searched=snapshot.count,
        exact=exact,
        reranked=reranked,
    )


def _cameras(exclude: Excluded, question: Question) -> list[str]:
    if exclude is None or exclude is False:
        return []
    if exclude is True:
        if not question.ids:
            raise GalleryError(
                "the query's camera is not known: name it, as in exclude_camera=3, "
                "or search by an entry inside"
            )
        return list(question.cameras)
    if isinstance(exclude, (str, int)):
        return [str(exclude)]
    return [str(camera) for camera in exclude]
