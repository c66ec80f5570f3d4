import re
from html.parser import HTMLParser

import numpy as np
import pytest

from hatcnn.evaluation import Features, evaluate
from hatcnn.evaluation.thresholds import Calibration
from hatcnn.visualize.page import Page
from hatcnn.visualize.plain import ranking_words
from hatcnn.visualize.ranked import ranked_rows
from hatcnn.visualize.report import Measured, examples, write_pictures

ATTACK = "<script>alert(1)</script>.jpg"


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.addresses, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "srcset", "data", "action")]
        assert not any(k.startswith("on") for k, _ in attrs)

    def handle_data(self, data):
        self.text.append(data)


def read(path):
    reader = Reader()
    reader.feed(path.read_text())
    return reader


def side(seed, people, cameras):
    random = np.random.default_rng(seed)
    pids, camids = (a.ravel() for a in np.meshgrid(people, cameras))
    centres = np.random.default_rng(9).normal(size=(20, 2, 8))
    halves = centres[pids] + 0.6 * random.normal(size=(len(pids), 2, 8))
    halves /= np.linalg.norm(halves, axis=2, keepdims=True)
    return Features(
        halves.reshape(-1, 16).astype(np.float32), pids, camids,
        np.array([f"{i}" for i in range(len(pids))]),
    )  # fmt: skip


def measured(**more):
    query, gallery = side(1, range(1, 7), (1, 2)), side(2, range(7), (1, 2, 3))
    random = np.random.default_rng(0)
    return Measured(
        model=ATTACK, data="a & b", evaluation=evaluate(query, gallery), query=query,
        gallery=gallery,
        query_images=random.integers(0, 255, (len(query), 32, 16, 3), np.uint8),
        gallery_images=random.integers(0, 255, (len(gallery), 32, 16, 3), np.uint8), **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return write_pictures(measured(skipped=[(ATTACK, "is <b>broken</b>")]), folder)


def test_the_page_holds_everything_and_names_stay_text(report):
    page = read(report)
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert all(address.startswith("data:image/") for address in page.addresses)
    # A picture for each figure that there are numbers for; no attributes here, no training.
    names = {p.stem for p in report.parent.glob("*.png")}
    assert names == {"ranked-best", "ranked-middling", "ranked-worst", "scores", "cameras", "map"}
    assert {p.stem for p in report.parent.glob("*.svg")} == names
    assert len(page.addresses) == len(names)
    text = " ".join(page.text)
    assert ATTACK in text
    assert "is <b>broken</b>" in text
    assert "a & b" in text
    assert "default-src 'none'" in report.read_text()


def test_probabilities_are_those_of_this_gallerys_pairs(tmp_path, monkeypatch):
    asked = []

    def note(*arguments, probability=None, **more):
        asked.append(probability)
        return ranked_rows(*arguments, probability=probability, **more)

    monkeypatch.setattr("hatcnn.visualize.report.ranked_rows", note)
    calibration = Calibration(
        slope=9.0, intercept=-4.0, false_match_rates=(0.1,), thresholds=(0.5,),
        true_match_rates=(0.9,), same_pairs=10, different_pairs=100, data="made up",
    )  # fmt: skip
    m = measured(calibration=calibration)
    page = " ".join(read(write_pictures(m, tmp_path)).text)
    same = different = 0
    for pid, camid in zip(m.query.pids, m.query.camids, strict=True):
        elsewhere = m.gallery.camids != camid
        same += int((elsewhere & (m.gallery.pids == pid)).sum())
        different += int((elsewhere & (m.gallery.pids != pid)).sum())
    for score in (-0.2, 0.4, 0.9):
        odds = same / different * np.exp(9.0 * score - 4.0)
        assert float(asked[0](score)) == pytest.approx(odds / (1 + odds))
    assert f"where 1 pair in {(same + different) / same:,.0f} does" in page


def test_pictures_that_fetch_nothing(report):
    for path in report.parent.glob("*.svg"):
        links = re.findall(r'(?:href|src)="([^"]+)"', path.read_text())
        assert all(link.startswith(("#", "data:")) for link in links)


def test_the_report_is_the_same_twice(report, tmp_path):
    again = write_pictures(measured(skipped=[(ATTACK, "is <b>broken</b>")]), tmp_path)
    for path in report.parent.iterdir():
        assert path.read_bytes() == (again.parent / path.name).read_bytes(), path.name


def test_examples_are_of_different_people_and_by_average_precision():
    ap = np.array([0.9, np.nan, 0.1, 0.5, 1.0, 0.4])
    pids = np.array([1, 9, 2, 3, 1, 4])
    chosen = {name: rows for name, _, rows in examples(ap, pids, most=2)}
    assert chosen == {"best": [4, 3], "middling": [0], "worst": [2, 5]}
    few = {name: rows for name, _, rows in examples(ap[2:4], pids[2:4], most=2)}
    assert few == {"best": [1, 0]}


def test_plain_words_say_the_numbers():
    evaluation = measured().evaluation
    ranking = evaluation.rankings["identity"]
    first, *_ = ranking_words(ranking)
    assert first.startswith(f"Of 100 searches, {100 * ranking.rank(1):.0f} put")
    nobody = ranking.of(np.zeros(len(ranking.first), bool))
    assert "nothing to measure" in ranking_words(nobody)[0]


def test_text_tables_and_titles_are_escaped(tmp_path):
    page = Page("<i>")
    page.heading("<i>")
    page.text("<i>")
    page.note("<i>")
    page.points(["<i>"])
    page.table(["<i>"], [["<i>"]], folded="<i>")
    page.write(tmp_path / "page.html")
    assert "i" not in read(tmp_path / "page.html").tags
