import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from hatcnn.cli.main import run
from hatcnn.errors import EvaluationError
from hatcnn.evaluation.features import Features
from hatcnn.evaluation.thresholds import (
    Calibration,
    ScoreHistogram,
    calibrate,
    calibration_error,
    halves,
    match_rates,
    score_histogram,
)


def crowd(people=40, cameras=3, distractors=30, noise=0.8, seed=0):
    """Two pictures a person and camera, queries from the first; some distractors."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(people, 24))
    pids = np.repeat(np.arange(1, people + 1), 2 * cameras)
    camids = np.tile(np.repeat(np.arange(cameras), 2), people)
    vectors = centres[pids - 1] + noise * random.normal(size=(len(pids), 24))

    def features(pids, camids, vectors):
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return Features(
            unit.astype(np.float32), pids, camids, np.array([str(i) for i in range(len(pids))])
        )

    first = np.arange(len(pids)) % 2 == 0
    query = features(pids[first], camids[first], vectors[first])
    others = random.normal(size=(distractors, 24))
    gallery = features(
        np.concatenate((pids[~first], np.zeros(distractors, int))),
        np.concatenate((camids[~first], np.arange(distractors) % cameras)),
        np.concatenate((vectors[~first], others)),
    )
    return query, gallery


def pairs(query, gallery):
    """Every pair by two cameras, one after the other: its score, and whether it is one person."""
    scores, same = [], []
    for i in range(len(query)):
        for j in range(len(gallery)):
            if query.camids[i] != gallery.camids[j]:
                scores.append(float(query.vectors[i] @ gallery.vectors[j]))
                same.append(query.pids[i] == gallery.pids[j])
    return np.array(scores), np.array(same)


def test_rates_are_those_of_counting_pairs():
    query, gallery = crowd()
    scores, same = pairs(query, gallery)
    histogram = score_histogram(query, gallery)
    assert (histogram.same.sum(), histogram.different.sum()) == (same.sum(), (~same).sum())
    for threshold in histogram.edges[[3000, 4000, 5000, 6000]]:
        reached = scores >= threshold
        expected = reached[~same].mean(), reached[same].mean()
        assert match_rates(histogram, threshold) == pytest.approx(expected, abs=2 / len(scores))


def test_distractors_are_nobodys_match_as_queries_either():
    query, gallery = crowd()
    query.pids[:3] = 0
    before = score_histogram(query, gallery)
    gallery.pids[gallery.pids == 0] = 1000
    after = score_histogram(query, gallery)
    np.testing.assert_array_equal(before.same, after.same)
    np.testing.assert_array_equal(before.different, after.different)


def test_errors_are_alike_at_the_equal_error():
    counts = np.array([0, 1, 1, 8]), np.array([5, 2, 2, 1])
    histogram = ScoreHistogram(np.linspace(-1, 1, 5), *counts)
    assert match_rates(histogram, 0.0) == pytest.approx((0.3, 0.9))
    # From 0 on 0.1 is missed and 0.3 passes; from 0.5 on it is 0.2 and 0.1.
    assert histogram.equal_error() == 0.5
    halved = histogram.coarse(2)
    assert halved.same.tolist() == [1, 9]
    assert halved.different.tolist() == [7, 3]
    assert halved.edges.tolist() == [-1, 0, 1]


def test_probability_is_a_balanced_logistic_regression():
    query, gallery = crowd()
    scores, same = pairs(query, gallery)
    calibration = calibrate(score_histogram(query, gallery), data="a crowd")
    oracle = LogisticRegression(C=1e9, class_weight="balanced", tol=1e-9).fit(scores[:, None], same)
    grid = np.linspace(-0.5, 1, 30)
    expected = oracle.predict_proba(grid[:, None])[:, 1]
    np.testing.assert_allclose(calibration.probability(grid), expected, atol=2e-3)
    # Bayes: odds are multiplied by the prior's.
    half, rare = calibration.probability(0.4), calibration.probability(0.4, prior=0.01)
    assert rare / (1 - rare) == pytest.approx(half / (1 - half) * 0.01 / 0.99)


def test_a_threshold_keeps_its_false_match_rate():
    query, gallery = crowd(people=120)
    histogram = score_histogram(query, gallery)
    calibration = calibrate(histogram, data="a crowd")
    for rate, threshold in zip(
        calibration.false_match_rates, calibration.thresholds, strict=True
    ):  # fmt: skip
        assert match_rates(histogram, threshold)[0] == pytest.approx(rate)
        assert calibration.threshold(rate) == pytest.approx(threshold)
    asked = (0.05, 0.02, 0.005)
    reached = [match_rates(histogram, calibration.threshold(rate))[0] for rate in asked]
    np.testing.assert_allclose(reached, asked, rtol=0.2)
    with pytest.raises(EvaluationError, match="was not measured: ask for one from"):
        calibration.threshold(1e-9)


def test_calibration_error_sees_wrong_probabilities():
    histogram = score_histogram(*crowd(people=120))
    right = calibrate(histogram, data="")
    wrong = Calibration(**{**right.to_json(), "intercept": right.intercept + 3})
    assert calibration_error(right, histogram) < 0.05
    assert calibration_error(wrong, histogram) > 0.1


def test_halves_share_nobody_and_lose_nobody():
    query, gallery = crowd()
    (q1, g1), (q2, g2) = halves(query, gallery)
    first, second = (set(q.pids) | set(g.pids) - {0} for q, g in ((q1, g1), (q2, g2)))
    assert not first & second
    assert len(first) == len(second) == 20
    assert len(q1) + len(q2) == len(query)
    assert len(g1) + len(g2) == len(gallery)
    assert (g1.pids == 0).sum() == (g2.pids == 0).sum() == 15


def test_people_who_never_overlap_still_have_probabilities():
    calibration = calibrate(score_histogram(*crowd(noise=0.01, people=60)), data="")
    assert calibration.probability(0.99) > 0.99
    assert calibration.probability(0.5) < 0.5
    assert np.isfinite(calibration.probability([-1, 1])).all()


def test_it_is_read_back_as_written_and_mistakes_are_named(tmp_path):
    calibration = calibrate(score_histogram(*crowd()), data="a crowd", fingerprint="abc")
    calibration.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == calibration
    (tmp_path / "list.json").write_text("[1]")
    for name in ("missing.json", "list.json"):
        with pytest.raises(EvaluationError, match=name):
            Calibration.load(tmp_path / name)
    with pytest.raises(EvaluationError, match="prior"):
        calibration.probability(0.5, prior=0)
    with pytest.raises(EvaluationError, match="too few to calibrate"):
        calibrate(score_histogram(*crowd(people=2, distractors=0)), data="")


def test_the_command_writes_beside_the_weights_and_reports_the_other_half(tmp_path, capsys):
    from hatcnn.models.build import build_model
    from hatcnn.models.checkpoint import save_model
    from tests.models.test_network import NARROW

    save_model(tmp_path / "model", NARROW, build_model(NARROW).state_dict(), card="")
    run(["calibrate", str(tmp_path / "model"), "--data", "synthetic"])
    printed = capsys.readouterr().out
    assert "true matches there" in printed
    calibration = Calibration.load(tmp_path / "model" / "calibration.json")
    assert calibration.data.startswith("every other test person")
    assert all(rate <= 0.1 for rate in calibration.false_match_rates)
