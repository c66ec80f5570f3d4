import numpy as np
import pytest
from matplotlib.text import Text

from hatcnn.attributes import NUM_ATTRIBUTES, UNKNOWN
from hatcnn.evaluation import Features, Group, Ranking, score_attributes
from hatcnn.visualize.arranging import arrange
from hatcnn.visualize.charts import (
    attribute_chart,
    camera_chart,
    gallery_map,
    score_chart,
    training_chart,
)


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_the_attribute_chart_shows_the_scores_and_what_is_undefined():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, (40, NUM_ATTRIBUTES)).astype(np.int8)
    labels[:, 3], labels[:, 5] = 0, UNKNOWN
    scores = score_attributes(random.random((40, NUM_ATTRIBUTES), np.float32), labels)
    axes = attribute_chart(scores).axes[0]
    drawn = lines(axes)
    for label, field in (("accuracy", "accuracy"), ("F1", "f1")):
        expected = [getattr(a, field) for a in scores.attributes]
        expected = [np.nan if v is None else 100 * v for v in expected]
        assert drawn[label].get_xdata() == pytest.approx(expected, nan_ok=True)
    bars = [patch.get_width() for patch in axes.patches]
    majority = [np.nan if a.majority is None else 100 * a.majority for a in scores.attributes]
    assert bars == pytest.approx(majority, nan_ok=True)
    notes = {t.get_position()[1]: t.get_text() for t in axes.texts}
    assert notes == {3: "undefined: nobody has it", 5: "undefined: nobody is labelled"}


def crowd(count, seed):
    random = np.random.default_rng(seed)
    halves = random.normal(size=(count, 2, 4))
    halves /= np.linalg.norm(halves, axis=2, keepdims=True)
    return Features(
        halves.reshape(count, 8).astype(np.float32), random.integers(1, 5, count),
        random.integers(1, 4, count), np.array([str(i) for i in range(count)]),
    )  # fmt: skip


def test_the_score_chart_shows_shares_and_the_threshold():
    edges = np.linspace(-1, 1, 5)
    figure = score_chart(
        edges, np.array([0, 1, 1, 8]), np.array([6, 2, 1, 1]), 0.5, reason="because"
    )
    axes = figure.axes[0]
    (threshold,) = [line for line in axes.lines if "threshold" in line.get_label()]
    assert set(threshold.get_xdata()) == {0.5}
    assert threshold.get_label() == "threshold 0.50: because"
    outlines = {p.get_label(): p for p in axes.patches if "pairs" in p.get_label()}
    assert outlines["same person (10 pairs)"].get_data().values == pytest.approx([0, 10, 10, 80])
    styles = {p.get_linestyle() for p in outlines.values()}
    assert len(styles) == 2


def test_the_camera_chart_puts_numbers_in_their_places():
    def group(name, first):
        ranking = Ranking(np.full(50, first), *(np.ones(1),) * 2, np.ones(1, np.int64))
        return Group(name, 1, 1, ranking)

    figure = camera_chart([group("2 → 10", 0.25), group("10 → 2", 0.5)])
    axes = figure.axes[0]
    figure.draw_without_rendering()
    (title,) = [t for t in axes.findobj(Text) if t.get_text().startswith("Rank-1")]
    assert title.get_window_extent().x1 < figure.bbox.x1, "with few cameras too"
    assert [t.get_text() for t in axes.get_yticklabels()] == ["2", "10"]
    written = {t.get_position(): t.get_text() for t in axes.texts}
    # (column, row): the gallery's camera is the column.
    assert written == {(0, 0): "–", (1, 0): "25", (0, 1): "50", (1, 1): "–"}


def test_the_training_chart_draws_a_run():
    epochs = [{"epoch": e, "loss/total": 9.0 / e, "loss/triplet": 1.0 / e} for e in (1, 2, 3)]
    scores = {
        e: {"rankings": {"identity": {"mAP": 10.0 * e, "rank_1": 20.0 * e}}} for e in (1, 2, 3)
    }
    losses, evaluation = training_chart(epochs, scores).axes
    assert list(lines(losses)["total"].get_ydata()) == [9.0, 4.5, 3.0]
    assert list(lines(evaluation)["Rank-1, identity"].get_ydata()) == [20.0, 40.0, 60.0]
    # One evaluation is no curve.
    assert len(training_chart(epochs, {3: scores[3]}).axes) == 1


def test_the_map_keeps_groups_together_and_is_the_same_twice():
    random = np.random.default_rng(0)
    pids = np.repeat(np.arange(5), 8)
    vectors = (8 * np.eye(5)[pids] + 0.1 * random.normal(size=(40, 5))).astype(np.float32)

    def places():
        points = {
            c.get_label(): np.asarray(c.get_offsets())
            for c in gallery_map(vectors, pids).axes[0].collections
        }
        return {k: v for k, v in points.items() if k.startswith("person")}

    first, second = places(), places()
    # Distractors, pid 0, are no person.
    assert sorted(first) == [f"person {k} (8)" for k in (1, 2, 3, 4)]
    assert all(np.array_equal(first[k], second[k]) for k in first)
    middles = {k: v.mean(axis=0) for k, v in first.items()}
    for name, points in first.items():
        for point in points:
            nearest = min(middles, key=lambda k: np.linalg.norm(point - middles[k]))
            assert nearest == name


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_equal_vectors_lie_in_one_place(value):
    places, method = arrange(np.full((20, 6), value, np.float32))
    assert method == "PCA"
    np.testing.assert_allclose(places, 0, atol=1e-6)


def test_no_map_of_too_few():
    assert gallery_map(np.zeros((4, 3), np.float32), np.array([1, 1, 2, 0])) is None
    assert gallery_map(np.zeros((9, 3), np.float32), np.zeros(9, np.int64)) is None
