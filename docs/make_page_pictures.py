"""Take the pictures of the page in the documentation, of synthetic people, in headless Chromium.

    python docs/make_page_pictures.py

Needs Playwright and a Chromium in the path.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from hatcnn.datasets.synthetic import synthetic_people
from hatcnn.server import Client

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
from serve_load import Server

ASSETS = Path(__file__).parent / "assets"


def main() -> None:
    """Fill a gallery, search it, and take three pictures."""
    crowd = synthetic_people(num_train_identities=1, num_test_identities=20, num_distractors=0)
    with tempfile.TemporaryDirectory() as name, Server("hatcnn-plus", Path(name) / "g") as server:
        with Client(server.address) as client:
            of_gallery = list(zip(crowd.gallery.names, crowd.gallery.camids, strict=True))
            for camera in sorted({int(c) for _, c in of_gallery}):
                crops = [crowd.store.read(n) for n, c in of_gallery if c == camera]
                client.add(crops, camera=camera, seen_at=f"2026-01-31T17:0{camera}")
        query = Path(name) / "query.jpg"
        query.write_bytes(crowd.store.read(crowd.query.names[0]))
        with sync_playwright() as playwright:
            path = shutil.which("chromium") or shutil.which("chromium-browser")
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            wide = browser.new_page(viewport={"width": 1100, "height": 1180})
            search(wide, server.address, query)
            wide.click("#wearing summary")
            wide.screenshot(path=ASSETS / "page.png")
            overview(wide)
            wide.screenshot(path=ASSETS / "page-map.png")
            narrow = browser.new_page(viewport={"width": 375, "height": 720})
            search(narrow, server.address, query)
            narrow.locator("#found").scroll_into_view_if_needed()
            narrow.evaluate("() => document.getElementById('found').scrollIntoView()")
            narrow.screenshot(path=ASSETS / "page-phone.png")
            browser.close()


def overview(page: Page) -> None:
    """Draw the map, and bring the gallery's numbers and it into view."""
    page.click("#draw-map")
    page.wait_for_selector("#map-figure:not([hidden])", timeout=60_000)
    page.focus("#map")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.evaluate("() => document.getElementById('overview').scrollIntoView()")
    page.evaluate("() => document.activeElement.blur()")


def search(page: Page, address: str, query: Path) -> None:
    """Search by a picture and wait for the results' pictures."""
    page.goto(address)
    page.set_input_files("#file", query)
    page.click("button.main[type=submit]")
    page.wait_for_selector("#results li")
    page.wait_for_timeout(1500)


if __name__ == "__main__":
    main()
