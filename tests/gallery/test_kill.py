import pytest
from benchmarks.gallery_kill import JOBS, files_with, full_gallery, needles, rounds


@pytest.mark.parametrize("job", JOBS)
def test_killed_at_any_moment_nothing_is_lost(tmp_path, job):
    assert rounds(job, 3, tmp_path, seed=1)["rounds"] == 3


def test_the_search_for_bytes_finds_them(tmp_path):
    # Or else the rounds above would prove nothing.
    full_gallery(tmp_path / "gallery")
    for needle in needles([1, 1991]):
        assert files_with(tmp_path / "gallery", [needle])
