"""The same code on an object store: no lock, no folder, the log elsewhere."""

import json

import boto3
from moto.server import ThreadedMotoServer

from hatcnn.gallery import Gallery
from tests.gallery.people import crowd, files_with

N = 120
THUMBNAILS = [b"thumbnail %d " % i * 5 for i in range(N)]


def use(uri, **options):
    """Add, search and forget; the vectors and thumbnails of the kept and the forgotten."""
    gallery = Gallery.open(uri, **options)
    people = crowd(N)
    added = gallery.add(
        people, camera=[i % 4 for i in range(N)], thumbnails=THUMBNAILS, batch_size=50
    )
    assert added.added == N
    assert Gallery.open(uri, create=False, **options).add(people).added == 0
    found = gallery.search(people.vectors[5], where="camera = 1")
    assert found[0].entry.id == added.ids[5]
    assert len(gallery.forget(where="camera = 1").ids) == N / 4
    assert len(gallery) == 3 * N / 4
    assert gallery.search(people.vectors[6])[0].entry.id == added.ids[6]

    def needles(rows):
        stored = people.vectors.astype("float16")
        return [data for i in rows for data in (stored[i].tobytes(), THUMBNAILS[i])]

    kept = [i for i in range(N) if i % 4 != 1]
    return needles(kept), needles(range(1, N, 4))


def check_log(state):
    (log,) = (state / "hatcnn").iterdir()
    actions = [json.loads(line)["action"] for line in log.read_text().splitlines()]
    assert actions == ["search", "forget", "forgotten", "search"]


def test_an_address_instead_of_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    store = tmp_path / "store"
    kept, gone = use(f"file://{store}/town")
    for needle in kept:
        assert files_with(store, needle)
    for needle in gone:
        assert not files_with(store, needle)
    assert not files_with(store, b'"action"')
    check_log(tmp_path / "state")


def test_s3(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
        client.create_bucket(Bucket="town")
        options = {"endpoint": endpoint, "allow_http": "true", "aws_region": "us-east-1"}
        kept, gone = use("s3://town/people", storage_options=options)
        keys = [o["Key"] for o in client.list_objects_v2(Bucket="town")["Contents"]]
        everything = b"".join(
            client.get_object(Bucket="town", Key=key)["Body"].read() for key in keys
        )
    finally:
        server.stop()
    assert all(needle in everything for needle in kept)
    assert not any(needle in everything for needle in gone)
    check_log(tmp_path / "state")
