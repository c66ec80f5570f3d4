"""The page over a large gallery, in headless Chromium: how long a person waits for each step.

    hatcnn evaluate hatcnn-plus --data MARKET1501 --features market1501.npz
    python benchmarks/page_scale.py --features market1501.npz --json results/page_100000.json

The gallery is filled as `gallery_scale` does, with simulated people in ten cameras, and with
pictures of synthetic people as thumbnails. Every step begins with a click or key and ends when what
was asked for is on the page, thumbnails included. Times are medians of the rounds; the map's first
drawing happens once. Needs Playwright and a Chromium in the path.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tyro
from playwright.sync_api import Page, sync_playwright

from crowd import Crowd
from gallery_scale import PART, People
from hatcnn.cli.output import write_report
from hatcnn.datasets.synthetic import synthetic_people
from hatcnn.gallery import Gallery
from hatcnn.gallery.thumbnails import thumbnail
from hatcnn.server import Client
from serve_fuzz import resident_bytes
from serve_load import Server

SHOWN = """n => {
  const images = [...document.querySelectorAll('#results img')];
  return images.length === n && images.every(i => i.complete && i.naturalWidth > 0);
}"""
LONG_TASKS = """
window.longest = 0;
new PerformanceObserver(list => {
  for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration);
}).observe({ type: 'longtask', buffered: true });
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How large, how often."""

    features: Path
    """Real vectors to begin with, written by ``hatcnn evaluate --features``."""
    entries: int = 100_000
    """In the gallery."""
    model: str = "hatcnn-plus"
    """Model folder or name."""
    rounds: int = 5
    """Of each step."""
    seed: int = 0
    """Of the people."""
    json: Path | None = None
    """Where to write the results."""


def main() -> None:
    """Fill, open, measure, print."""
    options = tyro.cli(Options)
    pictures = synthetic_people(num_train_identities=1, num_test_identities=10, num_distractors=0)
    crops = [pictures.store.read(name) for name in pictures.gallery.names]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "gallery"
        fill(folder, options, [thumbnail(crop, "crop") for crop in crops])
        query = Path(name) / "query.png"
        query.write_bytes(pictures.store.read(pictures.query.names[0]))
        with Server(options.model, folder) as server, sync_playwright() as playwright:
            path = shutil.which("chromium") or shutil.which("chromium-browser")
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1100, "height": 900})
            page.set_default_timeout(60_000)
            page.add_init_script(LONG_TASKS)
            wrong: list[str] = []
            page.on("pageerror", lambda error: wrong.append(str(error)))
            steps = measure(page, server.address, query, options.rounds)
            busy = searches_while_the_map_is_drawn(server.address)
            report: dict[str, Any] = {
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} core(s) for "
                f"server and browser, load before {os.getloadavg()[0]:.1f}",
                "entries": options.entries,
                "rounds": options.rounds,
                "seed": options.seed,
                "seconds": steps,
                "search_ms": busy,
                "longest_task_ms": page.evaluate("window.longest"),
                "page_heap_bytes": page.evaluate("performance.memory.usedJSHeapSize"),
                "page_elements": page.evaluate("document.querySelectorAll('*').length"),
                "server_resident_bytes": resident_bytes(server.process.pid),
                "errors": wrong,
            }
            browser.close()
    if not write_report(report, options.json):
        print("\n".join(f"{name:<24} {value}" for name, value in report.items()))


def fill(folder: Path, options: Options, thumbnails: list[bytes]) -> None:
    """Simulated vectors and attributes, ten cameras, a picture each second."""
    gallery = Gallery.open(folder)
    crowd = Crowd(options.features, options.entries, options.seed)
    for at in range(0, options.entries, PART):
        stop = min(options.entries, at + PART)
        vectors, chances = crowd.pictures(at, stop)
        names = tuple(f"camera{i % 10}/{i:09}.jpg" for i in range(at, stop))
        gallery.add(
            People(vectors, chances, names),
            camera=[i % 10 for i in range(at, stop)],
            seen_at=[1.7e9 + i for i in range(at, stop)],
            thumbnails=[thumbnails[i % len(thumbnails)] for i in range(at, stop)],
            batch_size=PART,
        )
    gallery.compact()


def measure(page: Page, address: str, query: Path, rounds: int) -> dict[str, float]:
    """Seconds of every step, by its name."""

    def press(button: str, words: str, count: int) -> None:
        page.click(button)
        says(page, words)
        results(page, count)

    def look() -> None:
        page.click("#results li button >> nth=3")
        page.wait_for_selector("#details[open]")

    def by_picture() -> None:
        page.set_input_files("#file", query)
        press("button.main[type=submit]", "By picture", 24)

    steps: dict[str, Callable[[], None]] = {
        "open the page": lambda: arrive(page, address),
        "show all": lambda: press("#browse", "As they are stored", 24),
        "more": lambda: press("#more", "As they are stored", 48),
        "show all, one camera and three attributes": lambda: narrow(page),
        "clear, search by description": lambda: describe(page),
        "search by picture": by_picture,
        "open an entry": look,
        "search for its person": lambda: press("text=Search for this person", "Like that", 24),
    }
    taken: dict[str, list[float]] = {name: [] for name in [*steps, "draw the map again"]}
    for _ in range(rounds):
        for name, step in steps.items():
            taken[name].append(seconds(step))
    first = seconds(lambda: draw_map(page))
    for _ in range(rounds):
        arrive(page, address)
        taken["draw the map again"].append(seconds(lambda: draw_map(page)))
    page.focus("#map")
    keys = [seconds(lambda: page.keyboard.press("ArrowRight")) for _ in range(20)]
    medians = {name: round(statistics.median(values), 3) for name, values in taken.items()}
    return {
        **medians,
        "draw the map, first time": round(first, 3),
        "a key on the map": round(statistics.median(keys), 4),
    }


def searches_while_the_map_is_drawn(address: str) -> dict[str, float]:
    """How long searches by an entry take, before and while a map is drawn; medians and worst."""
    with Client(address) as client, Client(address) as other:
        entries = [
            entry["id"] for entry, _ in zip(client.entries(page=50), range(50), strict=False)
        ]

        def searches(until: Callable[[int], bool]) -> list[float]:
            times: list[float] = []
            while not until(len(times)):
                one = entries[len(times) % len(entries)]
                began = time.perf_counter()
                client.search_entries([one])
                times.append(1000 * (time.perf_counter() - began))
            return times

        alone = searches(lambda done: done >= 50)
        client.forget_entry(entries.pop())
        drawing = threading.Thread(target=other.map)
        drawing.start()
        during = searches(lambda _done: not drawing.is_alive())
    return {
        "alone_p50": round(statistics.median(alone), 1),
        "alone_worst": round(max(alone), 1),
        "while_drawing_p50": round(statistics.median(during), 1),
        "while_drawing_worst": round(max(during), 1),
        "while_drawing": len(during),
    }


def seconds(step: Callable[[], Any]) -> float:
    """That a step takes."""
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def arrive(page: Page, address: str) -> None:
    """Open the page and wait until it is ready."""
    page.goto(address)
    says(page, "Choose a picture")


def says(page: Page, words: str) -> None:
    """Wait until the page says so."""
    page.wait_for_function(
        "words => document.getElementById('status').textContent.includes(words)", arg=words
    )


def results(page: Page, count: int) -> None:
    """Wait until so many results are on the page, with their pictures."""
    page.wait_for_function(SHOWN, arg=count)


def narrow(page: Page) -> None:
    """Choose a camera and three attributes, and show what is left."""
    if page.locator("#wearing").get_attribute("open") is None:
        page.click("#wearing summary")
    page.select_option("#camera", "3")
    for i in (0, 2, 5):
        page.select_option(f"#choice-{i}", index=1)
    page.click("#browse")
    says(page, "As they are stored")
    results(page, 24)


def describe(page: Page) -> None:
    """Search by words, without filters."""
    page.click("#reset")
    if page.is_visible("#clear"):
        page.click("#clear")
    page.fill("#words", "woman, red top, backpack")
    page.keyboard.press("Enter")
    says(page, "By description")
    results(page, 24)


def draw_map(page: Page) -> None:
    """Have the map drawn and wait for it."""
    page.click("#draw-map")
    page.wait_for_selector("#map-figure:not([hidden])")


if __name__ == "__main__":
    main()
