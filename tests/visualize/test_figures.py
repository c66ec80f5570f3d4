import pytest
from matplotlib.figure import Figure

from hatcnn.errors import ConfigError
from hatcnn.visualize.figures import save, save_both


def figure():
    made = Figure(figsize=(2, 2))
    axes = made.add_subplot()
    axes.fill_between([0, 1], [0, 1], hatch="///")
    axes.set_title("equal")
    return made


def test_equal_figures_are_equal_files(tmp_path):
    first = save_both(figure(), tmp_path / "a.b.png")
    second = save_both(figure(), tmp_path / "second")
    assert [p.name for p in first] == ["a.b.png", "a.b.svg"]
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert first[0].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in first[1].read_bytes()


def test_other_endings_and_places_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"must end in \.png or \.svg"):
        save(figure(), tmp_path / "a.jpg")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        save(figure(), tmp_path / "file" / "a.png")
