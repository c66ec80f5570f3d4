"""What must not get in, and what the answer to it says."""

import asyncio
import io
import json

import numpy as np
import pytest
from PIL import Image

from hatcnn.errors import ConfigError
from hatcnn.server import Settings
from hatcnn.server.guard import Guard, Rate
from hatcnn.server.metrics import Metrics
from hatcnn.server.observing import Visit
from hatcnn.server.tokens import Tokens, read_tokens
from tests.pictures import animated, bomb
from tests.server.conftest import upload

FORM = "multipart/form-data; boundary=b"
TOKEN = "correct-horse-battery"


def refused(answer, status, words=""):
    problem = answer.json()
    assert answer.status_code == status, problem
    assert set(problem) == {"code", "message", "request_id"}
    assert words in problem["message"]
    assert answer.headers["X-Request-ID"] == problem["request_id"]
    return problem


@pytest.mark.parametrize("data", [b"", b"text", b"\xff\xd8\xff\xe0 cut", bomb(), animated()])
def test_only_pictures_are_decoded(client, gallery, data):
    found = client.post("/v1/entries", files=upload([data])).json()
    assert found["added"] == 0
    assert len(found["skipped"]) == 1
    refused(client.post("/v1/search/picture", files=upload([data])), 422)
    assert len(gallery) == 0


def test_too_many_pixels_are_refused_before_they_are_decoded(serve):
    file = io.BytesIO()
    Image.new("L", (1001, 1000)).save(file, "PNG")
    found = serve(max_pixels=1_000_000).post("/v1/embed", files=upload([file.getvalue()])).json()
    assert "1001 x 1000" in found["skipped"][0]["reason"]


def test_too_many_bytes_and_pictures(serve, crops):
    client = serve(max_upload_bytes=20_000, max_pictures=3)
    assert client.post("/v1/embed", files=upload(crops[:2])).status_code == 200
    refused(client.post("/v1/embed", files=upload(crops[:4])), 413, "20,000 bytes")

    def chunks():
        for _ in range(100):
            yield b"x" * 1000

    # Nothing says beforehand how much it will be.
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    refused(client.post("/v1/embed", content=chunks(), headers=kind), 413, "20,000 bytes")
    many = [("pictures", (f"{i}.png", b"x")) for i in range(4)]
    refused(client.post("/v1/embed", files=many), 413, "at most 3 pictures")
    large = {"description": "x" * 300_000}
    refused(client.post("/v1/search/description", json=large), 413)


def test_what_all_uploads_hold_together_is_bounded(serve, crops):
    client = serve(max_held_bytes=10_000)
    answer = client.post("/v1/embed", files=upload(crops[:4]))
    refused(answer, 503, "uploads")
    assert answer.headers["Retry-After"] == "1"
    # What was held is let go.
    assert client.post("/v1/embed", files=upload(crops[:1])).status_code == 200


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"pictures=x", "application/x-www-form-urlencoded", 415),
        (b"x", "multipart/form-data", 400),
        (b"x", FORM, 400),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", FORM, 400),
        (b"", FORM, 422),
    ],
)  # fmt: skip
def test_broken_forms(client, content, kind, status):
    refused(client.post("/v1/embed", content=content, headers={"Content-Type": kind}), status)


def test_names_of_files_are_labels(client, gallery, crops, tmp_path):
    before = {p for p in tmp_path.parent.rglob("*") if "town.gallery" not in str(p)}
    names = ["../../etc/passwd", "C:\\windows\\a.png", "..", "/", "a\0b\n.png", "x" * 500]
    files = [("pictures", (name, crop)) for name, crop in zip(names, crops, strict=False)]
    assert client.post("/v1/entries", files=files).status_code == 200
    kept = {entry.name for entry in gallery.entries()}
    assert {"passwd", "a.png", "picture 2", "picture 3", "x" * 100} <= kept
    assert not any("/" in name or "\n" in name or "\0" in name for name in kept)
    assert {p for p in tmp_path.parent.rglob("*") if "town.gallery" not in str(p)} == before


def test_no_path_is_followed(client, crops):
    for path in (
        "/v1/entries/..%2f..%2fetc%2fpasswd/thumbnail",
        "/v1/../etc/passwd",
        "/etc/passwd",
    ):
        assert client.get(path).status_code in (404, 422)
    refused(client.post("/v1/explain", files=upload(crops[:1]), data={"entry": "../x"}), 422)


def test_fields_out_of_range_are_named(client, crops):
    answer = client.post("/v1/search/picture", files=upload(crops[:1]), data={"top_k": 5000})
    refused(answer, 422, "top_k")
    refused(client.post("/v1/search/entry", json={"entries": ["ab"]}), 422, "entries")
    refused(client.post("/v1/search/entry", json={"entries": ["abcd"], "topk": 3}), 422, "topk")
    refused(
        client.post("/v1/entries", files=upload(crops), data={"seen_at": "soon"}), 422, "seen_at"
    )


def test_an_address_beyond_this_machine_needs_a_token():
    for host in ("0.0.0.0", "192.168.1.5", "::", "reid.example.org"):
        with pytest.raises(ConfigError, match="token"):
            Settings(host=host)
        Settings(host=host, tokens=Tokens({"anna": TOKEN}))
    Settings(host="::1")


def test_tokens(serve, caplog):
    client = serve(tokens=Tokens({"anna": TOKEN, "bert": "another-long-token"}))
    refused(client.get("/v1/stats"), 401, "Authorization")
    for wrong in (
        "Bearer wrong",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        "Bearer",
        "Bearer é".encode(),
    ):
        answer = client.get("/v1/stats", headers={"Authorization": wrong})
        refused(answer, 401)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    refused(client.get(f"/v1/stats?token={TOKEN}"), 401)
    with caplog.at_level("INFO", "hatcnn.server"):
        good = client.get("/v1/stats", headers={"Authorization": f"Bearer {TOKEN}"})
    assert good.status_code == 200
    assert caplog.records[-1].fields["who"] == "anna"
    assert TOKEN not in caplog.text + str([vars(r) for r in caplog.records])
    for path in ("/v1/health", "/v1/ready"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "entries" not in answer.json()


def test_tokens_cannot_be_guessed_for_long(serve):
    other = TOKEN[::-1]
    client = serve(tokens=Tokens({"anna": TOKEN, "bo": other}))

    def status(token):
        return client.get("/v1/stats", headers={"Authorization": f"Bearer {token}"}).status_code

    assert status(TOKEN) == 200
    assert [status(i) for i in range(12)] == [401] * 10 + [429] * 2
    # A right guess looks like a wrong one, and who was here before is not kept out.
    assert (status(other), status(TOKEN)) == (429, 200)


def test_the_search_of_a_token_is_in_the_log_under_its_name(serve, crops, tmp_path):
    client = serve(tokens=Tokens({"anna": TOKEN}))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    client.post("/v1/entries", files=upload(crops), headers=headers)
    client.post("/v1/search/picture", files=upload(crops[:1]), headers=headers)
    text = (tmp_path / "town.gallery" / "audit.jsonl").read_text()
    assert json.loads(text)["who"] == "anna@testclient"
    assert TOKEN not in text


def test_token_files(tmp_path, monkeypatch):
    monkeypatch.delenv("HATCNN_TOKEN", raising=False)
    path = tmp_path / "tokens"
    path.write_text(f"# people\nanna {TOKEN}\n\nanother-long-token\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_tokens(path)
    path.chmod(0o600)
    tokens = read_tokens(path)
    assert (tokens.name_of(TOKEN), tokens.name_of("another-long-token")) == ("anna", "default")
    assert tokens.name_of("") is None
    path.write_text("short")
    with pytest.raises(ConfigError, match="16 to 256"):
        read_tokens(path)
    path.write_text("# nobody\n")
    with pytest.raises(ConfigError, match="holds no token"):
        read_tokens(path)
    monkeypatch.setenv("HATCNN_TOKEN", TOKEN)
    assert read_tokens(None).name_of(TOKEN) == "default"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil"])
def test_other_names_are_not_answered(client, host):
    refused(client.get("/v1/stats", headers={"Host": host}), 421)


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
def test_own_names_are(client, host):
    assert client.get("/v1/stats", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_sites_do_not_ask_in_a_users_name(client, gallery, crops, headers):
    refused(client.post("/v1/entries", files=upload(crops), headers=headers), 403)
    assert len(gallery) == 0
    assert client.get("/v1/stats", headers={"Origin": "http://127.0.0.1"}).status_code == 200


def test_headers_of_every_answer(client):
    for answer in (client.get("/v1/health"), client.get("/v1/nothing"), client.get("/")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in client.get("/v1/health").headers["Content-Security-Policy"]
    assert client.get("/v1/stats").headers["Cache-Control"] == "no-store"


def test_request_ids_are_kept_when_they_are_decent(client):
    assert (
        client.get("/v1/health", headers={"X-Request-ID": "a-1"}).headers["X-Request-ID"] == "a-1"
    )
    for given in ("x" * 65, "a b", '"}'):
        other = client.get("/v1/health", headers={"X-Request-ID": given}).headers["X-Request-ID"]
        assert len(other) == 32


def test_what_a_client_says_of_proxies_is_not_believed(client, caplog):
    with caplog.at_level("INFO", "hatcnn.server"):
        client.get("/v1/health", headers={"X-Forwarded-For": "10.9.8.7"})
    assert caplog.records[-1].fields["client"] == "testclient"


def test_an_unexpected_error_tells_its_number_only(serve, monkeypatch):
    client = serve()
    monkeypatch.setattr("hatcnn.gallery.Gallery.stats", lambda *_a, **_k: 1 / 0)
    problem = refused(client.get("/v1/stats"), 500)
    assert "division" not in problem["message"]


def test_rates(serve):
    client = serve(requests_per_second=1, burst=3)
    answers = [client.get("/v1/health") for _ in range(5)]
    assert [a.status_code for a in answers] == [200] * 3 + [429] * 2
    assert answers[-1].headers["Retry-After"] == "1"


def test_a_bucket_fills_again(monkeypatch):
    now = 100.0
    monkeypatch.setattr("hatcnn.server.guard.time.monotonic", lambda: now)
    rate = Rate(2.0, 2)
    assert [rate.wait("a") for _ in range(3)] == [0, 0, 0.5]
    assert rate.wait("b") == 0
    now = 100.5
    assert rate.wait("a") == 0
    assert rate.wait("a") > 0


@pytest.mark.parametrize(
    ("limit", "status"), [({"upload_seconds": 1}, 408), ({"request_seconds": 1}, 504)]
)
def test_slow_bodies_and_slow_answers_end(limit, status):
    async def app(_scope, receive, send):
        from hatcnn.server.guard import _refuse
        from hatcnn.server.refusals import Refusal

        try:
            await receive()
        except Refusal as refusal:
            await _refuse(refusal, scope, never, send)

    async def never():
        await asyncio.sleep(60)

    sent = []

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/v1/embed", "hatcnn": Visit("1", "x"),
        "headers": [(b"host", b"localhost")],
    }  # fmt: skip
    guard = Guard(app, Settings(**limit), Metrics())
    asyncio.run(guard(scope, never, send))
    assert sent[0]["status"] == status


@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::RuntimeWarning:PIL")
def test_noise_is_no_picture(client):
    """A bounded fuzz: pictures broken in every way, none of which is our fault."""
    random = np.random.default_rng(3)
    whole = []
    for kind in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"):
        file = io.BytesIO()
        Image.fromarray(random.integers(0, 255, (64, 32, 3), np.uint8)).save(file, kind)
        whole.append(file.getvalue())
    said = 0
    for _ in range(30):
        broken = []
        for _ in range(20):
            data = bytearray(whole[random.integers(len(whole))])
            for _ in range(random.integers(1, 30)):
                # Most of what matters stands at the beginning.
                reach = len(data) if random.random() < 0.3 else 64
                data[random.integers(reach)] = random.integers(256)
            broken.append(bytes(data[: random.integers(1, len(data) + 1)]))
        answer = client.post("/v1/embed", files=upload(broken))
        assert answer.status_code == 200
        found = answer.json()
        assert len(found["pictures"]) + len(found["skipped"]) == 20
        said += len(found["skipped"])
    assert said > 300
    assert client.get("/v1/ready").status_code == 200
