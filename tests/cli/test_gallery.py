import json
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from hatcnn import images
from hatcnn.cli import gallery as command
from hatcnn.cli.main import main, run
from hatcnn.gallery import Gallery
from hatcnn.gallery.thumbnails import thumbnail
from hatcnn.inference.embeddings import Embeddings
from tests.gallery.people import People, crowd

N = 40


@dataclass(frozen=True)
class Embedded(People):
    skipped: tuple[tuple[str, str], ...] = ()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with embeddings and a table of who is in them."""
    monkeypatch.chdir(tmp_path)
    people = crowd(N)
    np.savez(
        "people.npz",
        vectors=people.vectors,
        attributes=people.attributes,
        names=np.array(people.names),
        fingerprint="model-a",
    )
    rows = [f"{name},{i % 4},2026-01-{1 + i % 28:02},vip; x" for i, name in enumerate(people.names)]
    (tmp_path / "about.csv").write_text("\n".join(["name,camera,seen_at,tags", *rows]))
    return tmp_path


@pytest.fixture
def town(place):
    run(["gallery", "add", "town", "people.npz", "--manifest", "about.csv"])
    return place


def said(capsys, *arguments):
    run(["gallery", *map(str, arguments), "--json", "-"])
    return json.loads(capsys.readouterr().out)


def refused(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["hatcnn", "gallery", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


def test_thumbnails_make_no_other_people_of_embeddings(place, capsys):
    for name in crowd(N).names:
        Image.new("RGB", (16, 32), "navy").save(place / name)
    assert said(capsys, "add", "town", "people.npz")["added"] == N
    again = said(capsys, "add", "town", "people.npz", "--thumbnails")
    assert (again["added"], again["present"]) == (0, N)
    first = said(capsys, "add", "other", "people.npz", "--thumbnails")
    assert first["added"] == N
    gallery = Gallery.open("other")
    assert gallery.thumbnail(gallery.entries(limit=1)[0].id).startswith(b"\xff\xd8")


@pytest.mark.usefixtures("place")
def test_adds_with_a_manifest_and_only_once(capsys):
    add = ("add", "town", "people.npz", "--manifest", "about.csv", "--identity", "anna")
    assert said(capsys, *add)["added"] == N
    again = said(capsys, *add)
    assert (again["added"], again["present"], again["entries"]) == (0, N, N)
    entry = said(capsys, "list", "town", "--where", "name = '000005.jpg'")["entries"]
    assert [(e["camera"], e["seen_at"], e["identity"], e["tags"]) for e in entry] == [
        ("1", "2026-01-06T00:00:00+00:00", "anna", ["vip", "x"])
    ]
    assert Gallery.open("town").model == "model-a"


@pytest.mark.usefixtures("town")
def test_searches_by_file_and_by_entry(capsys):
    people = crowd(N)
    one = people.vectors[7:8]
    np.savez("one.npz", vectors=one, names=np.array(["7"]))
    found = said(capsys, "search", "town", "one.npz", "--where", "camera in (3, 1)", "--top-k", 5)
    scores = people.vectors @ one[0]
    expected = [i for i in np.argsort(-scores) if i % 4 in (1, 3)][:5]
    assert [m["name"] for m in found["matches"]] == [people.names[i] for i in expected]
    entry = found["matches"][0]["id"]
    others = said(capsys, "search", "town", entry[:10], "--exclude-camera", "own", "--top-k", N)
    assert {m["camera"] for m in others["matches"]} == {"0", "1", "2"}
    run(["gallery", "search", "town", entry, "--top-k", "2"])
    assert capsys.readouterr().out.splitlines()[0].startswith("rank  score   id")


@pytest.mark.usefixtures("town")
def test_describes(capsys):
    found = said(capsys, "describe", "town", "woman, red top", "--top-k", 3)
    chances = crowd(N).attributes
    product = chances[:, 25] * chances[:, 17]
    expected = [crowd(N).names[i] for i in np.argsort(-product)[:3]]
    assert [m["name"] for m in found["matches"]] == expected


@pytest.mark.usefixtures("town")
def test_forgets_after_asking(capsys, monkeypatch):
    assert "40 entries would be forgotten: add --yes" in refused(
        capsys, monkeypatch, "forget", "town", "--tag", "vip"
    )
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    asked = []
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or "n")
    assert "nothing was forgotten" in refused(
        capsys, monkeypatch, "forget", "town", "--where", "camera = 1"
    )
    assert asked == ["Forget 10 entries for good? [y/N] "]
    assert len(Gallery.open("town")) == N
    monkeypatch.setattr("builtins.input", lambda _: "y")
    run(["gallery", "forget", "town", "--where", "camera = 1"])
    out = capsys.readouterr().out
    assert "000001.jpg" in out
    assert out.splitlines()[-1] == "town: 10 forgotten, 30 entries left"
    gone = said(capsys, "forget", "town", "--until", "2026-01-03", "--yes")
    assert gone["gone"]
    assert gone["entries"] == sum(i % 28 < 2 and i % 4 != 1 for i in range(N))


@pytest.mark.usefixtures("town")
def test_stats_and_compact(capsys):
    found = said(capsys, "stats", "town")
    assert found["entries"] == N
    assert found["cameras"] == {str(c): 10 for c in range(4)}
    assert found["first_seen"] == "2026-01-01T00:00:00+00:00"
    run(["gallery", "compact", "town"])
    assert capsys.readouterr().out.startswith(f"town: {N} entries, ")
    run(["gallery", "stats", "town"])
    assert "0 (10), 1 (10), 2 (10), 3 (10)" in capsys.readouterr().out


def test_pictures_are_embedded_and_shown_small(place, capsys, monkeypatch):
    folder = place / "crops"
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(3):
        pixels = random.integers(0, 255, (256, 128, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    (folder / "bad.png").write_bytes(b"no picture")

    class Embedder:
        def embed(self, paths, *, strict):
            assert not strict
            bad = [str(p) for p in paths if p.name == "bad.png"]
            good = tuple(str(p) for p in paths if p.name != "bad.png")
            people = crowd(3)
            return Embedded(people.vectors, people.attributes, good, skipped=((*bad, "broken"),))

    monkeypatch.setattr(command, "load_embedder", lambda *_, **__: Embedder())
    done = said(capsys, "add", "town", folder, "--model", "any", "--thumbnails")
    assert done["added"] == 3
    assert [s["name"] for s in done["skipped"]] == [str(folder / "bad.png")]
    gallery = Gallery.open("town")
    (entry,) = gallery.entries(where=f"name = '{folder / '1.png'}'")
    small = images.decode(gallery.thumbnail(entry.id))
    assert small.shape == (128, 64, 3)
    assert gallery.thumbnail(entry.id) == thumbnail((folder / "1.png").read_bytes())


def test_another_models_vectors_are_refused(town, capsys, monkeypatch):
    Embeddings(crowd(1).vectors, None, ("1",), fingerprint="model-b").save(town / "other.npz")
    for action in ("add", "search"):
        message = refused(capsys, monkeypatch, action, "town", "other.npz")
        assert "vectors of the model model-b: this gallery holds those of model-a" in message
    run(["gallery", "stats", "town"])
    said = capsys.readouterr().out
    assert "model-a" in said
    assert "not named" not in said


def test_mistakes_exit_with_2_and_say_what_to_do(town, capsys, monkeypatch):
    def message(*arguments):
        return refused(capsys, monkeypatch, *arguments)

    assert "did you mean 'search'" in message("serach", "town")
    assert "no gallery at missing" in message("stats", "missing")
    assert "no embeddings at x.npz" in message("add", "town", "x.npz")
    assert "pictures need a network" in message("add", "town", "about.csv")
    assert "column 10" in message("search", "town", "people.npz", "--where", "camera = ")
    assert "did you mean" in message("describe", "town", "womn")
    assert "expected 1 to 10,000" in message("search", "town", "people.npz", "--top-k", "0")
    assert "say what to forget" in message("forget", "town", "--yes")
    assert "search for what?" in message("search", "town")
    assert "no picture at nobody.jpg" in message("search", "town", "nobody.jpg")
    (town / "few.csv").write_text("name,camera\n000000.jpg,1\n")
    assert "few.csv has no row for 000001.jpg" in message(
        "add", "town", "people.npz", "--manifest", "few.csv"
    )
    (town / "wide.csv").write_text("name,tags\n000001.jpg,vip,,\n000000.jpg,vip,visitor\n")
    assert "row 3 has more cells" in message("add", "town", "people.npz", "--manifest", "wide.csv")
    (town / "odd.csv").write_text("name,camra\n")
    assert "did you mean 'camera'" in message("add", "town", "people.npz", "--manifest", "odd.csv")
    (town / "broken.npz").write_bytes(b"PK\x03\x04 broken")
    assert "holds no embeddings" in message("add", "town", "broken.npz")
    np.savez("other.npz", x=np.zeros(3))
    assert "holds no embeddings ('vectors')" in message("search", "town", "other.npz")
