"""Everything that is reported of a network: `evaluate` and its `Evaluation`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hatcnn.attributes import ATTRIBUTES
from hatcnn.errors import EvaluationError
from hatcnn.evaluation.attributes import AttributeScores, score_attributes
from hatcnn.evaluation.distances import Distance, distance_blocks
from hatcnn.evaluation.features import Features, embedding
from hatcnn.evaluation.ranking import Ranking, rank
from hatcnn.evaluation.reranking import reranked_blocks

MAX_CAMERAS = 20
"""A ranking for each pair of more would take long and nobody would read it."""


@dataclass(frozen=True, eq=False)
class Group:
    """The queries of one camera pair, or of the people who have, or have not, an attribute.

    Attributes:
        name: for people.
        queries: how many of them count.
        identities: how many people they show.
        ranking: theirs alone.
    """

    name: str
    queries: int
    identities: int
    ranking: Ranking

    def to_json(self) -> dict[str, Any]:
        """Counts and scores."""
        scores = self.ranking.to_json()
        return {
            "name": self.name,
            "queries": self.queries,
            "identities": self.identities,
            **{k: scores[k] for k in ("rank_1", "mAP", "mINP")},
        }


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        rankings: by name: ``"identity"``, ``"with attributes"``, and both ``"re-ranked"``.
        attribute_weight: of the ranking with attributes.
        distance: that ranked.
        attributes: scores of the predictions on labelled pictures; none without labels or
            predictions.
        by_camera: identity ranking of each pair of query and gallery camera; empty above
            `MAX_CAMERAS`, as where no camera is known and each picture counts as its own.
        by_attribute: identity ranking of the queries by what their person wears.
    """

    rankings: dict[str, Ranking]
    attribute_weight: float
    distance: Distance
    attributes: AttributeScores | None
    by_camera: tuple[Group, ...]
    by_attribute: tuple[Group, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it; undefined values are null."""
        return {
            "distance": self.distance,
            "attribute_weight": self.attribute_weight,
            "rankings": {name: r.to_json() for name, r in self.rankings.items()},
            "attributes": self.attributes.to_json() if self.attributes else None,
            "by_camera": [g.to_json() for g in self.by_camera],
            "by_attribute": [g.to_json() for g in self.by_attribute],
        }

    def __str__(self) -> str:
        width = max(len(name) for name in self.rankings)
        return "\n".join(f"{name:<{width}}  {r}" for name, r in self.rankings.items())


def evaluate(
    query: Features,
    gallery: Features,
    *,
    attribute_weight: float = 1.0,
    distance: Distance = "euclidean",
    rerank: bool = False,
    groups: bool = True,
) -> Evaluation:
    """Rank the gallery for every query, with and without attributes, and score the attributes.

    Args:
        query, gallery: what the network said, and who is in the pictures.
        attribute_weight: of the attributes in the second ranking; 0 leaves it out.
        distance: that ranks.
        rerank: also re-rank, which takes Euclidean distances.
        groups: also report by camera pair and by attribute.

    Raises:
        EvaluationError: when query or gallery is empty, or the arrays do not fit together.
    """
    for side, features in (("query", query), ("gallery", gallery)):
        if not len(features):
            raise EvaluationError(f"the {side} holds no pictures: there is nothing to rank")
    if rerank and distance != "euclidean":
        raise EvaluationError(f"re-ranking takes Euclidean distances, not {distance}")
    weights = {"identity": 0.0}
    if attribute_weight and query.attribute_logits is not None:
        weights["with attributes"] = attribute_weight
    rankings = {}
    for name, weight in weights.items():
        q, g = embedding(query, weight), embedding(gallery, weight)
        rankings[name] = rank(distance_blocks(q, g, distance), query, gallery)
        if rerank:
            rankings[f"{name}, re-ranked"] = rank(reranked_blocks(q, g), query, gallery)
    return Evaluation(
        rankings=rankings,
        attribute_weight=weights.get("with attributes", 0.0),
        distance=distance,
        attributes=_attributes(gallery),
        by_camera=_by_camera(query, gallery, distance) if groups else (),
        by_attribute=_by_attribute(query, rankings["identity"]) if groups else (),
    )


def _attributes(gallery: Features) -> AttributeScores | None:
    """Scores on the gallery, as in the field's tables; distractors have no labels."""
    if gallery.attribute_probabilities is None or gallery.attribute_labels is None:
        return None
    return score_attributes(gallery.attribute_probabilities, gallery.attribute_labels)


def _by_camera(query: Features, gallery: Features, distance: Distance) -> tuple[Group, ...]:
    query_cameras, gallery_cameras = np.unique(query.camids), np.unique(gallery.camids)
    if max(len(query_cameras), len(gallery_cameras)) > MAX_CAMERAS:
        return ()
    groups = []
    for query_camera in query_cameras:
        seen = query.take(query.camids == query_camera)
        for gallery_camera in gallery_cameras:
            if gallery_camera == query_camera:
                continue
            there = gallery.take(gallery.camids == gallery_camera)
            ranking = rank(distance_blocks(seen.vectors, there.vectors, distance), seen, there)
            groups.append(_group(f"{query_camera} → {gallery_camera}", seen, ranking))
    return tuple(groups)


def _by_attribute(query: Features, ranking: Ranking) -> tuple[Group, ...]:
    if query.attribute_labels is None:
        return ()
    groups = []
    for column, attribute in enumerate(ATTRIBUTES):
        for value, words in ((1, attribute.present), (0, attribute.absent)):
            chosen = query.attribute_labels[:, column] == value
            if words and chosen.any():
                groups.append(_group(words, query.take(chosen), ranking.of(chosen)))
    return tuple(groups)


def _group(name: str, query: Features, ranking: Ranking) -> Group:
    counted = query.pids[ranking.matched]
    return Group(name, len(counted), len(np.unique(counted)), ranking)
