import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
)

from hatcnn.attributes import NAMES, UNKNOWN
from hatcnn.evaluation import score_attributes


@pytest.fixture
def predictions():
    random = np.random.default_rng(3)
    labels = (random.random((300, 26)) < random.uniform(0.05, 0.9, 26)).astype(np.int8)
    labels[random.random(labels.shape) < 0.1] = UNKNOWN
    probabilities = np.clip(0.3 * labels + random.random(labels.shape), 0, 1).round(2)
    return probabilities.astype(np.float32), labels


def test_scores_are_scikit_learns(predictions):
    probabilities, labels = predictions
    scores = score_attributes(probabilities, labels)
    assert [a.name for a in scores.attributes] == list(NAMES)
    for i, attribute in enumerate(scores.attributes):
        known = labels[:, i] != UNKNOWN
        truth, probability = labels[known, i], probabilities[known, i]
        said = probability > 0.5
        assert attribute.positives == truth.sum()
        assert attribute.accuracy == pytest.approx(accuracy_score(truth, said))
        assert attribute.majority == pytest.approx(max(truth.mean(), 1 - truth.mean()))
        assert attribute.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, said))
        assert attribute.f1 == pytest.approx(f1_score(truth, said))
        expected = average_precision_score(truth, probability)
        assert attribute.average_precision == pytest.approx(expected)


def test_what_labels_do_not_define_is_undefined(predictions):
    probabilities, labels = predictions
    labels[:, 0], labels[:, 1], labels[:, 2] = 0, 1, UNKNOWN
    nobody, everybody, unlabelled = score_attributes(probabilities, labels).attributes[:3]
    assert nobody.majority == everybody.majority == 1
    for score in (nobody, everybody, unlabelled):
        assert score.balanced_accuracy is None
        assert score.average_precision is None
    assert nobody.f1 is None
    assert everybody.f1 is not None
    assert unlabelled.accuracy is None


def test_means_say_how_many_they_are_of(predictions):
    probabilities, labels = predictions
    labels[:, 0] = 0
    scores = score_attributes(probabilities, labels)
    mean, count = scores.mean("balanced_accuracy")
    assert count == 25
    assert mean == pytest.approx(np.mean([a.balanced_accuracy for a in scores.attributes[1:]]))
