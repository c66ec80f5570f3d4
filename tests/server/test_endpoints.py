import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from hatcnn.attributes import BINARY, NAMES
from hatcnn.gallery.filters import Compare, parse_filter
from hatcnn.gallery.words import COLOURS
from hatcnn.server.refusals import Busy, Refusal
from tests.server.conftest import upload


@pytest.fixture
def filled(client, crops):
    for camera, part in (("1", crops[:4]), ("2", crops[4:])):
        form = {"camera": camera, "seen_at": "2026-01-31T17:05:00+01:00", "tags": ["yard", "door"]}
        assert client.post("/v1/entries", files=upload(part), data=form).json()["added"] == 4
    return client


def test_embed_says_what_the_embedder_says(client, embedder, crops, tmp_path):
    paths = []
    for i, crop in enumerate(crops):
        paths.append(tmp_path / f"{i}.png")
        paths[-1].write_bytes(crop)
    expected = embedder.embed(paths)
    found = client.post("/v1/embed", files=upload(crops)).json()["pictures"]
    np.testing.assert_allclose([p["vector"] for p in found], expected.vectors, atol=1e-6)
    said = [list(p["attributes"].values()) for p in found]
    np.testing.assert_allclose(said, expected.attributes, atol=1e-6)
    described = client.post("/v1/attributes", files=upload(crops)).json()["pictures"]
    np.testing.assert_allclose([list(p["attributes"].values()) for p in described], said, atol=1e-6)


def test_unreadable_pictures_are_skipped_and_named(client, crops):
    files = [*upload(crops[:1]), ("pictures", ("notes.png", b"text")), *upload(crops[1:2])]
    found = client.post("/v1/embed", files=files).json()
    assert len(found["pictures"]) == 2
    assert [s["name"] for s in found["skipped"]] == ["notes.png"]
    assert "no picture" in found["skipped"][0]["reason"]


def test_what_is_added_is_there_with_all_that_was_said(filled, gallery):
    assert len(gallery) == 8
    found = filled.get("/v1/entries").json()
    assert found["next_offset"] is None
    first = found["entries"][0]
    assert (first["camera"], first["tags"]) == ("1", ["door", "yard"])
    assert first["seen_at"] == "2026-01-31T16:05:00Z"
    assert filled.get(f"/v1/entries/{first['id']}").json() == first
    thumbnail = filled.get(f"/v1/entries/{first['id']}/thumbnail")
    assert thumbnail.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(thumbnail.content)).size == (32, 64)
    stats = filled.get("/v1/stats").json()
    assert (stats["entries"], stats["cameras"]) == (8, {"1": 4, "2": 4})


def test_the_same_pictures_again_change_nothing(filled, crops, gallery):
    done = filled.post("/v1/entries", files=upload(crops), data={"camera": "9"}).json()
    assert (done["added"], done["present"], len(gallery)) == (0, 8, 8)


def test_pages_hold_every_entry_once(filled):
    seen, offset = [], 0
    while offset is not None:
        page = filled.get("/v1/entries", params={"limit": 3, "offset": offset}).json()
        seen += [entry["id"] for entry in page["entries"]]
        offset = page["next_offset"]
    assert len(seen) == len(set(seen)) == 8
    filtered = filled.get("/v1/entries", params={"where": "camera = 2"}).json()["entries"]
    assert {entry["camera"] for entry in filtered} == {"2"}


def test_search_by_picture_finds_it_first_and_pages_go_on(filled, crops):
    def search(**form):
        return filled.post("/v1/search/picture", files=upload(crops[5:6]), data=form).json()

    ranking = search(top_k=8)
    assert ranking["next_offset"] is None
    assert ranking["matches"][0]["score"] == pytest.approx(1, abs=1e-3)
    scores = [match["score"] for match in ranking["matches"]]
    assert scores == sorted(scores, reverse=True)
    first, second = search(top_k=5), search(top_k=5, offset=5)
    assert first["next_offset"] == 5
    together = first["matches"] + second["matches"]
    assert [m["id"] for m in together] == [m["id"] for m in ranking["matches"]]
    assert [m["rank"] for m in together] == list(range(1, 9))
    assert {m["camera"] for m in search(where="camera = 1")["matches"]} == {"1"}
    assert {m["camera"] for m in search(exclude_camera="2")["matches"]} == {"1"}


def test_search_by_entry_leaves_it_out(filled):
    entry = filled.get("/v1/entries").json()["entries"][0]["id"]
    question = {"entries": [entry[:12]], "exclude_own_camera": True}
    matches = filled.post("/v1/search/entry", json=question).json()["matches"]
    assert len(matches) == 4
    assert {m["camera"] for m in matches} == {"2"}
    missing = filled.post("/v1/search/entry", json={"entries": ["f" * 32]})
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


def test_own_camera_and_named_ones_are_not_left_out_together(filled):
    entry = filled.get("/v1/entries").json()["entries"][0]["id"]
    question = {"entries": [entry], "exclude_own_camera": True, "exclude_camera": ["2"]}
    answer = filled.post("/v1/search/entry", json=question)
    assert answer.status_code == 422
    assert "give one of them" in answer.json()["message"]


def test_a_confirmation_outlives_a_busy_server(filled, monkeypatch):
    service = filled.app.state.service
    found = filled.post("/v1/forget/find", json={"where": "camera = 2"}).json()
    confirmation = {"confirmation": found["confirmation"]}

    async def busy(*_):
        raise Busy("changes")

    with monkeypatch.context() as context:
        context.setattr(service, "write", busy)
        assert filled.post("/v1/forget", json=confirmation).status_code == 503
    assert filled.post("/v1/forget", json=confirmation).json()["count"] == 4
    assert filled.post("/v1/forget", json=confirmation).status_code == 409


def test_confirmations_hold_so_many_entries_and_no_longer_than_they_are_good(filled, monkeypatch):
    service = filled.app.state.service
    monkeypatch.setattr("hatcnn.server.service.CONFIRMED_ENTRIES", 5)
    first, second, third = (service.ask_confirmation(["a" * 32] * n) for n in (3, 2, 4))
    assert list(service._confirmations) == [third]
    for token in (first, second):
        with pytest.raises(Refusal):
            service.confirmed(token)
    assert len(service.confirmed(service.ask_confirmation(["b" * 32] * 9))) == 9
    monkeypatch.setattr("hatcnn.server.service.CONFIRM_WITHIN_S", -1)
    old = service.ask_confirmation(["c" * 32])
    service.ask_confirmation(["d" * 32])
    assert old not in service._confirmations


def test_search_by_description_multiplies_probabilities(filled, crops):
    found = filled.post("/v1/search/description", json={"description": "woman, backpack"}).json()
    said = filled.post("/v1/attributes", files=upload(crops)).json()["pictures"]
    expected = max(p["attributes"]["gender"] * p["attributes"]["backpack"] for p in said)
    assert found["matches"][0]["score"] == pytest.approx(expected, rel=1e-4)
    wrong = filled.post("/v1/search/description", json={"description": "a red hta"})
    assert wrong.status_code == 422
    assert "red hta" in wrong.json()["message"]


def test_an_empty_gallery_answers_with_nothing(client, crops):
    for answer in (
        client.post("/v1/search/picture", files=upload(crops[:1])),
        client.post("/v1/search/description", json={"description": "woman"}),
        client.post("/v1/search/entry", json={"entries": ["f" * 32]}),
    ):
        assert (answer.status_code, answer.json()["searched"]) == (200, 0)
    assert client.get("/v1/entries").json() == {"entries": [], "next_offset": None}
    assert client.get(f"/v1/entries/{'f' * 32}").status_code == 404
    assert client.get(f"/v1/entries/{'f' * 32}/thumbnail").status_code == 404


def test_forget_one_entry(filled, gallery):
    entry = filled.get("/v1/entries").json()["entries"][0]["id"]
    assert filled.delete(f"/v1/entries/{entry[:8]}").status_code == 404
    assert filled.delete(f"/v1/entries/{entry}").json() == {"count": 1, "ids": [entry]}
    assert filled.delete(f"/v1/entries/{entry}").status_code == 404
    assert len(gallery) == 7


def test_forget_by_picture_shows_first_and_forgets_what_was_shown(filled, crops, gallery):
    form = {"threshold": 0.9999}
    found = filled.post("/v1/forget/find-by-picture", files=upload(crops[:1]), data=form).json()
    assert (found["count"], len(gallery)) == (1, 8)
    assert found["examples"][0]["id"] == found["ids"][0]
    confirmation = {"confirmation": found["confirmation"]}
    assert filled.post("/v1/forget", json=confirmation).json()["ids"] == found["ids"]
    assert filled.get(f"/v1/entries/{found['ids'][0]}").status_code == 404
    # Used up.
    assert filled.post("/v1/forget", json=confirmation).status_code == 409
    assert len(gallery) == 7


def test_forget_by_filter(filled, gallery):
    found = filled.post("/v1/forget/find", json={"where": "camera = 2"}).json()
    assert found["count"] == 4
    assert filled.post("/v1/forget", json={"confirmation": "x" * 32}).status_code == 409
    filled.post("/v1/forget", json={"confirmation": found["confirmation"]})
    assert {entry.camera for entry in gallery.entries()} == {"1"}
    nothing = filled.post("/v1/forget/find", json={})
    assert nothing.status_code == 422
    none = filled.post("/v1/forget/find", json={"tag": "nobody"}).json()
    assert (none["count"], none["confirmation"]) == (0, None)


def test_the_audit_log_says_who_and_holds_no_picture(filled, crops, tmp_path):
    filled.post("/v1/search/picture", files=upload(crops[:1]))
    entry = filled.get("/v1/entries").json()["entries"][0]["id"]
    filled.delete(f"/v1/entries/{entry}")
    lines = (tmp_path / "town.gallery" / "audit.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [r["action"] for r in records] == ["search", "forget", "forgotten"]
    form = {"threshold": 0.5}
    filled.post("/v1/forget/find-by-picture", files=upload(crops[:1]), data=form)
    filled.get("/v1/entries", params={"where": "camera = 1"})
    more = (tmp_path / "town.gallery" / "audit.jsonl").read_text().splitlines()[3:]
    assert [json.loads(line)["action"] for line in more] == ["find to forget", "list"]
    assert {r["who"] for r in records} == {"anonymous@testclient"}
    assert max(map(len, lines)) < 300


def test_the_model_card_and_metrics(filled):
    card = filled.get("/v1/model").json()
    assert card["card"] == "A tiny network."
    assert (card["dimension"], len(card["attributes"])) == (48, 26)
    text = filled.get("/v1/metrics").text
    assert re.search(r"^hatcnn_pictures_total 8\.0$", text, re.MULTILINE)
    assert re.search(r"^hatcnn_gallery_entries 8\.0$", text, re.MULTILINE)
    assert 'route="/v1/entries",status="200"} 2.0' in text


def test_the_words_stand_for_every_attribute_and_can_be_searched_for(filled):
    choices = filled.get("/v1/words").json()["choices"]
    options = [option["where"] for choice in choices for option in choice["options"]]
    meant = set()
    for where in options:
        found = parse_filter(where)
        assert isinstance(found, Compare)
        meant.add((found.column, found.operator, found.value))
    colours = [(half, "=", c) for half in COLOURS for c in (*COLOURS[half], "other")]
    binary = [(NAMES[i], operator, 0.5) for i in BINARY for operator in (">", "<=")]
    assert meant == {*colours, *binary}
    assert len(options) == len(meant)
    for choice in choices:
        # Whoever is searched for has one of them, and only one.
        counts = [
            len(filled.get("/v1/entries", params={"where": option["where"]}).json()["entries"])
            for option in choice["options"]
        ]
        assert sum(counts) == 8, choice["name"]


def test_explain_draws_one_picture_or_two(filled, crops):
    entry = filled.get("/v1/entries").json()["entries"][0]["id"]
    one = filled.post("/v1/explain", files=upload(crops[:1]))
    two = filled.post("/v1/explain", files=upload(crops[:2]))
    inside = filled.post("/v1/explain", files=upload(crops[1:2]), data={"entry": entry})
    for answer in (one, two, inside):
        assert answer.headers["content-type"] == "image/png"
        assert Image.open(io.BytesIO(answer.content)).format == "PNG"
    assert one.content != two.content
    drawn = filled.post("/v1/explain", files=upload(crops[:1]), data={"kind": "svg"})
    assert drawn.content.startswith(b"<?xml")
    assert filled.post("/v1/explain", files=upload(crops[:3])).status_code == 422
    broken = filled.post("/v1/explain", files=upload([b"text"]))
    assert (broken.status_code, broken.json()["code"]) == (422, "invalid")


def test_explain_says_when_it_cannot(filled, crops, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    answer = filled.post("/v1/explain", files=upload(crops[:1]))
    assert (answer.status_code, answer.json()["code"]) == (501, "not_available")
    assert "no torch" in answer.json()["message"]


def test_a_read_only_server_changes_nothing(serve, gallery, crops):
    serve().post("/v1/entries", files=upload(crops))
    client = serve(read_only=True)
    entry = gallery.entries()[0].id
    for answer in (
        client.post("/v1/entries", files=upload(crops)),
        client.delete(f"/v1/entries/{entry}"),
        client.post("/v1/forget/find", json={"tag": "x"}),
        client.post("/v1/forget", json={"confirmation": "x" * 32}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert client.post("/v1/search/picture", files=upload(crops[:1])).status_code == 200
    assert client.get("/v1/ready").json()["read_only"] is True
    assert len(gallery) == 8
