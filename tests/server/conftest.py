import io
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from hatcnn.gallery import Gallery
from hatcnn.inference import Embedder
from hatcnn.models.build import build_model
from hatcnn.models.checkpoint import save_model
from hatcnn.server import Settings, create_app
from hatcnn.server.running import make_server
from tests.models.test_network import NARROW


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server") / "narrow"
    torch.manual_seed(0)
    save_model(folder, NARROW, build_model(NARROW).state_dict(), card="A tiny network.")
    return folder


@pytest.fixture(scope="session")
def embedder(model):
    return Embedder.load(model, backend="torch", precision="fp32")


@pytest.fixture(scope="session")
def crops():
    """PNG files of eight made-up crops, all different."""
    random = np.random.default_rng(0)
    return [_png(random.integers(0, 255, (64, 32, 3), np.uint8)) for _ in range(8)]


@pytest.fixture
def gallery(tmp_path):
    return Gallery.open(tmp_path / "town.gallery")


@pytest.fixture
def serve(gallery, embedder, model):
    """Start an app in this process: `serve(read_only=True)`."""
    started = []

    def start(base_url="http://127.0.0.1", **settings):
        app = create_app(gallery, embedder, Settings(**settings), model=model)
        client = TestClient(app, base_url=base_url)
        client.__enter__()
        started.append(client)
        return client

    yield start
    for client in started:
        client.__exit__(None, None, None)


@pytest.fixture
def listen(gallery, embedder, model):
    """Start a server at a port of this machine, in a thread: `listen(max_pictures=3)`."""
    started = []

    def start(**settings):
        chosen = Settings(port=0, **settings)
        app = create_app(gallery, embedder, chosen, model=model)
        server = make_server(app, chosen)
        thread = threading.Thread(target=server.run)
        thread.start()
        started.append((server, thread))
        while not server.started:
            time.sleep(0.01)
            assert thread.is_alive()
        app.state.stop = lambda: (setattr(server, "should_exit", True), thread.join(30))
        port = server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}", app

    yield start
    for server, thread in started:
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def client(serve):
    return serve()


def upload(crops, name="crop.png"):
    """Pictures for `files=` of a request."""
    return [("pictures", (name, crop)) for crop in crops]


def _png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
