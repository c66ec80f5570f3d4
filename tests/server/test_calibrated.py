"""What a score means, asked of a server with the weights that come with the package."""

import json
import math
import shutil

import numpy as np
import pytest
from starlette.testclient import TestClient

from hatcnn.datasets.synthetic import synthetic_people
from hatcnn.gallery import Gallery
from hatcnn.inference import Embedder
from hatcnn.models.folder import CALIBRATION, find_model
from hatcnn.server import Settings, create_app
from tests.server.conftest import upload

MODEL = "hatcnn-plus"
FILE = json.loads((find_model(MODEL) / CALIBRATION).read_text())
RATE, THRESHOLD = FILE["false_match_rates"][4], FILE["thresholds"][4]


@pytest.fixture(scope="module")
def people():
    crowd = synthetic_people(num_train_identities=1, num_test_identities=6, num_distractors=0)
    return [crowd.store.read(name) for name in crowd.gallery.names]


@pytest.fixture(scope="module")
def client(tmp_path_factory, people):
    gallery = Gallery.open(tmp_path_factory.mktemp("calibrated") / "town")
    app = create_app(gallery, Embedder.load(MODEL, backend="onnx"), Settings(), model=MODEL)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        for at in range(0, len(people), 32):
            client.post("/v1/entries", files=upload(people[at : at + 32]))
        yield client


def search(client, people, **form):
    form = {"top_k": 1000, **form}
    answer = client.post("/v1/search/picture", files=upload(people[:1]), data=form)
    assert answer.status_code == 200, answer.text
    return answer.json()["matches"]


def test_probabilities_are_the_calibrations(client, people):
    matches = search(client, people)
    assert len(matches) == len(people)
    for match in matches:
        logit = FILE["slope"] * match["score"] + FILE["intercept"]
        assert match["probability"] == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-4)
    assert 0 < min(m["probability"] for m in matches) < 0.5 < matches[0]["probability"] <= 1


def test_a_false_match_rate_keeps_what_reaches_its_threshold(client, people):
    everybody = search(client, people)
    expected = [m["id"] for m in everybody if m["score"] >= THRESHOLD]
    assert 0 < len(expected) < len(everybody)
    kept = search(client, people, false_match_rate=RATE)
    assert [m["id"] for m in kept] == expected
    question = {"entries": [everybody[0]["id"]], "top_k": 1000}

    def by_entry(**more):
        answer = client.post("/v1/search/entry", json={**question, **more})
        return answer.json()["matches"]

    expected = [m["id"] for m in by_entry() if m["score"] >= THRESHOLD]
    assert [m["id"] for m in by_entry(false_match_rate=RATE)] == expected


def test_pages_of_a_false_match_rate_go_on(client, people):
    everybody = search(client, people, false_match_rate=RATE)
    first = {"top_k": 2, "false_match_rate": RATE}
    answer = client.post("/v1/search/picture", files=upload(people[:1]), data=first).json()
    assert answer["next_offset"] == (2 if len(everybody) > 2 else None)
    rest = search(client, people, false_match_rate=RATE, offset=2)
    assert [*answer["matches"], *rest] == everybody


def test_forgetting_by_a_false_match_rate_means_the_same(client, people):
    expected = {m["id"] for m in search(client, people) if m["score"] >= THRESHOLD}
    form = {"false_match_rate": RATE}
    found = client.post("/v1/forget/find-by-picture", files=upload(people[:1]), data=form).json()
    assert set(found["ids"]) == expected
    person = {"person": [next(iter(expected))], "false_match_rate": RATE}
    assert client.post("/v1/forget/find", json=person).json()["count"] >= 1
    both = {**form, "threshold": 0.5}
    answer = client.post("/v1/forget/find-by-picture", files=upload(people[:1]), data=both)
    assert (answer.status_code, "not both" in answer.json()["message"]) == (422, True)
    neither = client.post("/v1/forget/find-by-picture", files=upload(people[:1]))
    assert neither.status_code == 422


@pytest.mark.parametrize(
    ("rate", "words"), [(1e-9, "not measured"), (0, "false_match_rate"), (2, "false_match_rate")]
)
def test_rates_that_were_not_measured_are_refused(client, people, rate, words):
    form = {"false_match_rate": rate}
    answer = client.post("/v1/search/picture", files=upload(people[:1]), data=form)
    assert answer.status_code == 422
    assert words in answer.json()["message"]


def test_the_card_lists_the_rates(client):
    card = client.get("/v1/model").json()["calibration"]
    assert (card["data"], card["different_pairs"]) == (FILE["data"], FILE["different_pairs"])
    found = [(r["false_match_rate"], r["threshold"], r["true_match_rate"]) for r in card["rates"]]
    measured = (FILE[k] for k in ("false_match_rates", "thresholds", "true_match_rates"))
    assert found == list(zip(*measured, strict=True))


def test_without_a_calibration_there_is_no_rate(serve, crops):
    client = serve()
    client.post("/v1/entries", files=upload(crops))
    assert client.get("/v1/model").json()["calibration"] is None
    plain = client.post("/v1/search/picture", files=upload(crops[:1])).json()
    assert {m["probability"] for m in plain["matches"]} == {None}
    form = {"false_match_rate": 0.01}
    answer = client.post("/v1/search/picture", files=upload(crops[:1]), data=form)
    assert (answer.status_code, answer.json()["code"]) == (501, "not_available")
    assert "hatcnn calibrate" in answer.json()["message"]


def test_a_calibration_of_another_network_is_not_used(model, embedder, gallery, tmp_path, caplog):
    folder = tmp_path / "narrow"
    shutil.copytree(model, folder)
    (folder / CALIBRATION).write_text(json.dumps(FILE))
    app = create_app(gallery, embedder, Settings(), model=folder)
    assert app.state.service.reasons.calibration is None
    assert caplog.records[-1].fields["calibration"] == FILE["fingerprint"]
    own = {**FILE, "fingerprint": embedder.backend.fingerprint}
    (folder / CALIBRATION).write_text(json.dumps(own))
    app = create_app(gallery, embedder, Settings(), model=folder)
    assert np.isclose(app.state.service.reasons.calibration.slope, FILE["slope"])
