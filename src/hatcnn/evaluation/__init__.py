"""Ranking, re-ranking and attribute scores: arrays in, results out, no torch."""

from hatcnn.evaluation.attributes import AttributeScore, AttributeScores, score_attributes
from hatcnn.evaluation.distances import Distance, distance_blocks
from hatcnn.evaluation.evaluate import Evaluation, Group, evaluate
from hatcnn.evaluation.features import Features, embedding, load_features, save_features
from hatcnn.evaluation.ranking import Ranking, rank, top_k
from hatcnn.evaluation.reranking import reranked_blocks
from hatcnn.evaluation.thresholds import Calibration, calibrate, score_histogram

__all__ = [
    "AttributeScore",
    "AttributeScores",
    "Calibration",
    "Distance",
    "Evaluation",
    "Features",
    "Group",
    "Ranking",
    "calibrate",
    "distance_blocks",
    "embedding",
    "evaluate",
    "load_features",
    "rank",
    "reranked_blocks",
    "save_features",
    "score_attributes",
    "score_histogram",
    "top_k",
]
