"""The Python client and the schema, against a server at a real port."""

import os
import re
from collections import Counter

import httpx
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from hatcnn.server import Client
from hatcnn.server.client import ServerError
from hatcnn.server.tokens import Tokens

EXAMPLES = int(os.environ.get("HATCNN_SCHEMA_EXAMPLES", "8"))
"""Of each operation; more find more and take longer."""
TOKEN = "correct-horse-battery"


def test_the_client_does_everything(listen, crops, embedder, tmp_path):
    address, _ = listen(tokens=Tokens({"anna": TOKEN}))
    path = tmp_path / "a.png"
    path.write_bytes(crops[0])
    with Client(address, token=TOKEN) as client:
        assert client.health()["status"] == "ok"
        assert client.ready() == {"status": "ready", "read_only": False}
        found = client.embed([path, *crops[1:3]])
        expected = embedder.embed([path]).vectors[0]
        np.testing.assert_allclose(found["pictures"][0]["vector"], expected, atol=1e-6)
        assert [p["name"] for p in found["pictures"]] == ["a.png", "picture", "picture"]
        assert client.add([path], camera=3, tags=["x", "y"])["added"] == 1
        assert client.add(crops[1:], camera=4)["added"] == 7
        assert len(list(client.entries(page=3))) == 8
        (entry,) = client.entries(where="camera = 3")
        assert client.entry(entry["id"])["tags"] == ["x", "y"]
        assert client.thumbnail(entry["id"])[:2] == b"\xff\xd8"
        assert client.search([path], top_k=2)["matches"][0]["id"] == entry["id"]
        assert client.search_entries([entry["id"]])["matches"][0]["id"] != entry["id"]
        assert client.describe("woman")["searched"] == 8
        assert len(client.attributes([path])["pictures"]) == 1
        shown = client.find_person_to_forget([path], 0.9999)
        assert client.forget(shown["confirmation"])["ids"] == [entry["id"]]
        assert client.find_to_forget(where="camera = 4")["count"] == 7
        assert client.forget_entry(next(client.entries())["id"])["count"] == 1
        assert client.stats()["entries"] == 6
        assert {c["name"] for c in client.words()["choices"]} >= {"upper body", "backpack"}
        assert client.map()["entries"] == 6
        assert client.model()["dimension"] == 48
        assert "hatcnn_requests_total" in client.metrics()
        with pytest.raises(ServerError, match="no entry") as failed:
            client.search_entries([entry["id"]])
        assert (failed.value.status, failed.value.code) == (404, "not_found")
        with pytest.raises(ServerError, match=r"one picture or two|cannot explain"):
            client.explain(crops[:3])


def test_the_client_knows_every_operation_of_the_schema(client, monkeypatch):
    """Whatever the schema offers is asked for by a method, with the same method and path."""
    asked = set()

    def note(_self, method, path, **_options):
        asked.add((method, re.sub(r"/entries/x", "/entries/{entry}", path)))
        found = {"entries": [], "next_offset": None, "pictures": []}
        return httpx.Response(200, json=found, request=httpx.Request(method, "http://x"))

    monkeypatch.setattr(httpx.Client, "request", note)
    ours = Client("http://x")
    for call in (
        ours.health, ours.ready, ours.model, ours.stats, ours.metrics, ours.words, ours.map,
        lambda: ours.embed([b"x"]), lambda: ours.attributes([b"x"]), lambda: ours.explain([b"x"]),
        lambda: ours.add([b"x"]), lambda: ours.search([b"x"]), lambda: ours.search_entries(["x"]),
        lambda: ours.describe("x"), lambda: list(ours.entries()), lambda: ours.entry("x"),
        lambda: ours.thumbnail("x"), lambda: ours.forget_entry("x"), ours.find_to_forget,
        lambda: ours.find_person_to_forget([b"x"], 0.5), lambda: ours.forget("x"),
    ):  # fmt: skip
        call()
    offered = {
        (method.upper(), path)
        for path, methods in client.app.openapi()["paths"].items()
        for method in methods
    }
    assert asked == offered


def test_the_schema_says_what_every_field_and_error_is(client):
    schema = client.app.openapi()
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation["description"], where
            assert {"200", "401", "413", "422", "429", "503"} <= set(operation["responses"]), where
            for status, response in operation["responses"].items():
                if status != "200":
                    content = response["content"]["application/json"]["schema"]
                    assert content == {"$ref": "#/components/schemas/Problem"}, where


def test_no_request_of_the_schema_makes_a_500(listen, crops):
    address, _ = listen(requests_per_second=1e6, burst=10**6)
    Client(address).add(crops)
    schema = schemathesis.openapi.from_url(f"{address}/v1/openapi.json")
    statuses = Counter()
    checks = schemathesis.checks
    for result in schema.get_all_operations():

        @given(case=result.ok().as_strategy())
        @settings(
            max_examples=EXAMPLES, database=None, deadline=None, derandomize=True,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def run(case):
            answer = case.call()
            statuses[answer.status_code] += 1
            assert answer.status_code < 500 or answer.status_code == 501, answer.text
            case.validate_response(
                answer,
                checks=(
                    checks.status_code_conformance,
                    checks.content_type_conformance,
                    checks.response_schema_conformance,
                ),
            )

        run()
    assert statuses.total() > 10 * EXAMPLES
    # Or else everything might have been refused at the door.
    assert statuses[200] > 3 * EXAMPLES
