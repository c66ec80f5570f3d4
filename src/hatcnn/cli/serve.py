"""``hatcnn serve --gallery DIR``: the gallery behind an address."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

import tyro

from hatcnn.errors import ConfigError
from hatcnn.gallery import Gallery
from hatcnn.server.app import create_app
from hatcnn.server.running import make_server, serve
from hatcnn.server.settings import Settings
from hatcnn.server.tokens import read_tokens


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Serve a gallery over HTTP, on this machine alone unless told otherwise."""

    gallery: str
    """Folder of the gallery, or an object store's address; a folder is made when it is missing."""
    model: str = "hatcnn-plus"
    """Model folder or name; the one that filled the gallery."""
    backend: str = "auto"
    """What runs the network."""
    host: str = "127.0.0.1"
    """Address to listen at; one that other machines reach needs a token."""
    port: int = 8000
    """Port to listen at."""
    allow_host: tuple[str, ...] = ()
    """Names by which clients call the server, such as reid.example.org."""
    token_file: Path | None = None
    """File with 'NAME TOKEN' a line, readable by you alone; HATCNN_TOKEN holds one token too."""
    certificate: Path | None = None
    """PEM file of a certificate, for HTTPS; with --key."""
    key: Path | None = None
    """PEM file of its key."""
    read_only: bool = False
    """Refuse whatever changes the gallery."""
    audit: Path | None = None
    """Log of searches and deletions, where it does not lie in the gallery."""
    max_upload_mb: int = 32
    """Largest body of a request, in MiB."""
    max_pixels: int = Settings.max_pixels
    """Largest width x height of a picture."""
    max_pictures: int = Settings.max_pictures
    """Most pictures of a request."""
    requests_per_second: float = Settings.requests_per_second
    """That a client may make in the long run."""


def main(arguments: list[str]) -> None:
    """Serve until told to stop."""
    options = tyro.cli(ServeOptions, prog="hatcnn serve", args=arguments)
    settings = Settings(
        host=options.host,
        port=options.port,
        allowed_hosts=options.allow_host,
        tokens=read_tokens(options.token_file),
        read_only=options.read_only,
        max_upload_bytes=options.max_upload_mb * 2**20,
        max_pixels=options.max_pixels,
        max_pictures=options.max_pictures,
        # What one request may bring must fit in what all may.
        max_held_bytes=max(Settings.max_held_bytes, options.max_upload_mb * 2**20),
        max_waiting_pictures=max(Settings.max_waiting_pictures, options.max_pictures),
        requests_per_second=options.requests_per_second,
    )
    if (options.certificate is None) != (options.key is None):
        raise ConfigError("HTTPS takes both --certificate and --key")
    for file in (options.certificate, options.key):
        if file is not None and not file.is_file():
            raise ConfigError(f"no file at {file}")
    _check_free(settings)
    from hatcnn.inference import Embedder

    gallery = Gallery.open(options.gallery, create=not options.read_only, audit=options.audit)
    embedder = Embedder.load(options.model, backend=options.backend)  # type: ignore[arg-type]
    app = create_app(gallery, embedder, settings, model=options.model)
    server = make_server(app, settings, certificate=options.certificate, key=options.key)
    # Bound here, so that the port can be told; uvicorn binds to all addresses of a name.
    free = server.config.bind_socket() if settings.port == 0 else None
    port = free.getsockname()[1] if free else settings.port
    scheme = "https" if options.certificate else "http"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    print(
        f"{options.gallery}: {len(gallery):,} entries at {scheme}://{host}:{port}/"
        f"{', read-only' if settings.read_only else ''}; stop with Ctrl-C",
        flush=True,
    )
    serve(server, free)


def _check_free(settings: Settings) -> None:
    """Raise `ConfigError` where the address cannot be listened at, before minutes of loading."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise ConfigError(
                f"cannot listen at {settings.host}:{settings.port}: {error.strerror}"
            ) from None
