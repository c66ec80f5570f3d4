"""`hatcnn serve` as a process: how it starts, what slow clients get, how it stops."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from hatcnn.gallery import Gallery
from hatcnn.server import Client
from hatcnn.server.client import ServerError
from tests.pictures import encoded


def command(folder, model, *arguments):
    return [
        sys.executable, "-m", "hatcnn.cli.main", "serve", "--gallery", str(folder),
        "--model", str(model), "--backend", "torch", *arguments,
    ]  # fmt: skip


def environment():
    kept = {name: value for name, value in os.environ.items() if name != "HATCNN_TOKEN"}
    return {**kept, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def process(tmp_path, model):
    log = (tmp_path / "log").open("wb")
    started = subprocess.Popen(
        command(tmp_path / "town", model, "--port", "0"), stdout=log, stderr=log, env=environment()
    )
    until = time.monotonic() + 60

    def wait():
        said = (tmp_path / "log").read_text()
        assert started.poll() is None, said
        assert time.monotonic() < until, said
        time.sleep(0.1)
        return said

    while not (spoken := re.search(r"http://127\.0\.0\.1:(\d+)/", wait())):
        pass
    port = int(spoken[1])
    with Client(f"http://127.0.0.1:{port}") as client:
        while True:
            try:
                client.ready()
                break
            except Exception:
                wait()
    yield started, port
    if started.poll() is None:
        started.kill()
        started.wait()
    log.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "give a token with --token-file"),
        (["--token-file", "/nowhere/tokens"], "cannot read the token file"),
        (["--certificate", "a.pem"], "both --certificate and --key"),
        (["--max-pixels", "0"], "expected at least 1"),
    ],
)
def test_it_refuses_to_start(tmp_path, model, arguments, words):
    done = subprocess.run(
        command(tmp_path / "town", model, *arguments),
        capture_output=True, text=True, timeout=60, env=environment(),
    )  # fmt: skip
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "town").exists()


def test_a_stop_under_load_loses_no_acknowledged_add(tmp_path, process):
    server, port = process
    acknowledged, refused = [], []
    stop = threading.Event()

    def add(seed):
        random = np.random.default_rng(seed)
        with Client(f"http://127.0.0.1:{port}") as client:
            while not stop.is_set():
                crop = encoded(random.integers(0, 255, (64, 32, 3), np.uint8))
                try:
                    acknowledged.extend(client.add([crop])["ids"])
                except ServerError as error:
                    refused.append(error)
                except Exception:
                    # The connection is gone: nothing was acknowledged.
                    return

    threads = [threading.Thread(target=add, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    while len(acknowledged) < 20:
        assert server.poll() is None
        time.sleep(0.02)
    server.send_signal(signal.SIGTERM)
    assert server.wait(60) in (0, -signal.SIGTERM)
    stop.set()
    for thread in threads:
        thread.join(30)
    assert [error.status for error in refused if error.status not in (429, 503)] == []
    kept = {entry.id for entry in Gallery.open(tmp_path / "town").entries(limit=10_000)}
    assert set(acknowledged) <= kept
    assert len(acknowledged) >= 20
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_the_log_is_json_without_names_of_files(tmp_path, process):
    _, port = process
    with Client(f"http://127.0.0.1:{port}") as client:
        path = tmp_path / "very-private-name.png"
        path.write_bytes(encoded(np.zeros((64, 32, 3), np.uint8)))
        client.search([path])
    # The answer is on its way before its line is.
    deadline = time.monotonic() + 20
    while "/v1/search/picture" not in (tmp_path / "log").read_text():
        assert time.monotonic() < deadline, "the search was not logged"
        time.sleep(0.05)
    lines = (tmp_path / "log").read_text().splitlines()
    assert "/; stop with Ctrl-C" in lines[0]
    records = [json.loads(line) for line in lines[1:]]
    assert records[-1]["route"] == "/v1/search/picture"
    assert records[-1]["status"] == 200
    assert {"request_id", "client", "who", "ms", "bytes"} <= set(records[-1])
    assert "very-private-name" not in "".join(lines)


def test_half_a_head_is_not_waited_for(listen, monkeypatch):
    monkeypatch.setattr("hatcnn.server.running.HEADER_SECONDS", 0.5)
    address, _ = listen()
    port = int(address.rsplit(":", 1)[1])
    for sent in (b"", b"GET /v1/hea", b"GET /v1/health HTTP/1.1\r\nHost: local"):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(sent)
            began = time.monotonic()
            assert connection.recv(100) == b""
            assert time.monotonic() - began < 5


def test_an_endless_head_is_cut_off(listen):
    address, _ = listen()
    port = int(address.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\nX: ")
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 1000:
                connection.sendall(b"x" * 65536)
                sent += 1
    assert sent < 1000


def test_a_slow_body_gets_408(listen):
    address, _ = listen(upload_seconds=1)
    port = int(address.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/embed HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b"
        )
        answer = b""
        while data := connection.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not arrive within 1 s" in answer


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/stats HTTP/1.1\r\n\r\n",
        b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
        b"POST /v1/forget HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/forget HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
    ],
)
def test_tricks_with_heads_get_no_200(listen, head):
    address, _ = listen()
    port = int(address.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65536)
    assert answer[9:10] in (b"", b"4")
    with Client(address) as client:
        assert client.ready()["status"] == "ready"
