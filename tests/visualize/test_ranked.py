import numpy as np
import pytest
from matplotlib.colors import to_rgba

from hatcnn.attributes import NUM_ATTRIBUTES, column
from hatcnn.evaluation import Features
from hatcnn.visualize.figures import BLUE, ORANGE, save
from hatcnn.visualize.ranked import Entry, RankedRow, ranked_rows, ranked_sheet
from hatcnn.visualize.words import chance, short_words


def features(vectors, pids, camids):
    count = len(pids)
    probabilities = np.zeros((count, NUM_ATTRIBUTES), np.float32)
    probabilities[:, [column("upred"), column("clothes")]] = 0.9
    return Features(
        np.array(vectors, np.float32), np.array(pids), np.array(camids),
        np.array([f"{i}.png" for i in range(count)]), attribute_probabilities=probabilities,
    )  # fmt: skip


def picture(value=100):
    return np.full((128, 64, 3), value, np.uint8)


def test_rows_follow_the_protocol():
    query = features([[1, 0]], [1], [1])
    gallery = features([[1, 0], [0.6, 0.8], [0.8, 0.6], [0, 1]], [1, 1, 2, 0], [1, 2, 2, 3])
    images = np.stack([picture(i) for i in range(4)])
    (row,) = ranked_rows(query, gallery, images[:1], images, [0], probability=lambda s: s / 2)
    # The same person by the same camera is passed over.
    assert [e.picture[0, 0, 0] for e in row.results] == [2, 1, 3]
    assert [e.correct for e in row.results] == [False, True, False]
    assert [e.similarity for e in row.results] == pytest.approx([0.8, 0.6, 0.0], abs=1e-6)
    assert [e.probability for e in row.results] == pytest.approx([0.4, 0.3, 0.0], abs=1e-6)
    assert row.results[2].lines()[0] == "0.00 · < 1 %"
    assert row.results[0].lines() == ["0.80 · 40 %", "camera 2", "red top"]
    assert row.query.lines() == ["camera 1", "red top"]


def test_right_and_wrong_differ_in_more_than_colour(tmp_path):
    entries = [
        Entry(picture=picture(), correct=True, similarity=0.9, camera=1, time="12:01"),
        Entry(picture=picture(), correct=False, similarity=0.8, camera=2),
        Entry(picture=picture()),
    ]
    figure = ranked_sheet([RankedRow(Entry(picture=picture()), entries)], title="sheet")
    axes = figure.axes[0]
    written = [text.get_text() for text in axes.texts]
    for words in ("sheet", "query", "1  ✓", "2  ✗", "3", "0.90", "camera 2", "12:01"):
        assert words in written
    frames = {(p.get_edgecolor(), p.get_linestyle()) for p in axes.patches}
    # Query and unknown are framed alike.
    assert len(frames) == 3
    by_colour = {}
    for patch in axes.patches:
        by_colour.setdefault(patch.get_edgecolor(), set()).add(patch.get_linestyle())
    assert by_colour[to_rgba(BLUE)] == {"-"}
    assert "-" not in by_colour[to_rgba(ORANGE)]
    a, b = (save(figure, tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    assert a == b


def test_no_probability_is_said_to_be_certain():
    said = [chance(p) for p in (0.0, 0.0099, 0.01, 0.5, 0.99, 0.9901, 1.0)]
    assert said == ["< 1 %", "< 1 %", "1 %", "50 %", "99 %", "> 99 %", "> 99 %"]


def test_short_words_say_colours_first_and_leave_out_what_is_unlikely():
    probabilities = np.zeros(NUM_ATTRIBUTES, np.float32)
    for name, value in {"upred": 0.6, "upblue": 0.55, "downblack": 0.4, "backpack": 0.9,
                        "gender": 0.99, "clothes": 0.8, "down": 0.7}.items():  # fmt: skip
        probabilities[column(name)] = value
    assert short_words(probabilities) == ("red top", "shorts", "backpack")
    probabilities[column("clothes")] = 0.1
    assert "dress" in short_words(probabilities)
