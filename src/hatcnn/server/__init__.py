"""A gallery behind an address: HTTP API and Python client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hatcnn.server.app import create_app
    from hatcnn.server.client import Client
    from hatcnn.server.settings import Settings

__all__ = ["Client", "Settings", "create_app"]


def __getattr__(name: str) -> Any:
    # The client needs httpx alone, the app everything else: each is imported when it is asked for.
    if name == "create_app":
        from hatcnn.server.app import create_app

        return create_app
    if name == "Client":
        from hatcnn.server.client import Client

        return Client
    if name == "Settings":
        from hatcnn.server.settings import Settings

        return Settings
    raise AttributeError(f"module 'hatcnn.server' has no attribute {name!r}")
