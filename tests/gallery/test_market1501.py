"""The real data through the gallery, by what the benchmark runs."""

import pytest
from benchmarks.gallery_market1501 import compare


@pytest.mark.market1501
def test_searching_gives_what_evaluation_gives(tmp_path, market1501_features):
    query, gallery, fingerprint = market1501_features
    assert len(set(query.pids.tolist())) == 188
    found = compare(query, gallery, fingerprint, tmp_path)
    expected = found.pop("evaluate")
    assert {scores["entries"] for scores in found.values()} == {len(gallery)}
    for name, allowed in (
        ("exact, float32", 1e-3),
        ("exact, float16", 0.2),
        ("index, float16", 0.3),
    ):
        for score in ("rank_1", "mAP"):
            assert found[name][score] == pytest.approx(expected[score], abs=allowed)
