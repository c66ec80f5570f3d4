"""The page in headless Chromium, where there is one."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from hatcnn.evaluation.thresholds import Calibration
from hatcnn.server import Client
from hatcnn.server.tokens import Tokens

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TOKEN = "correct-horse-battery"


def test_its_files_need_no_token_and_nothing_from_elsewhere(serve):
    client = serve(tokens=Tokens({"anna": TOKEN}))
    for path in ("/", "/page/page.js", "/page/map.js", "/page/style.css"):
        answer = client.get(path, headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 200
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "http://" not in answer.text
        assert "https://" not in answer.text
    assert client.get("/page/../settings.py").status_code in (401, 404)
    assert client.get("/page/nothing.js").status_code == 401


def note(wrong, message):
    # Chromium reports every answer that is no 200; what the page makes of those is tested.
    if message.type == "error" and "the server responded with a status of" not in message.text:
        wrong.append(message.text)


@pytest.fixture
def page(request):
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport=getattr(request, "param", None))
        opened.set_default_timeout(10_000)
        opened.wrong = []
        opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
        opened.on("console", lambda message: note(opened.wrong, message))
        yield opened
        assert opened.wrong == []
        browser.close()


def says(page, words):
    page.wait_for_function(
        "words => document.getElementById('status').textContent.includes(words)", arg=words
    )


@pytest.fixture
def filled(listen, crops):
    address, app = listen()
    with Client(address) as client:
        for camera, part in (("1", crops[:4]), ("o'hare", crops[4:])):
            client.add(part, camera=camera, seen_at=f"2026-01-31T17:0{len(camera)}")
    return address, app


def picture(data):
    return {"name": "query.png", "mimeType": "image/png", "buffer": data}


def test_find_filter_look_and_forget(page, filled, gallery, crops):
    address, _ = filled
    page.goto(address)
    says(page, "Choose a picture")
    assert page.inner_text("#summary") == "8 entries"
    page.set_input_files("#file", picture(crops[5]))
    page.click("text=Search")
    says(page, "the first 8 of 8")
    assert page.inner_text("#results li >> nth=0").startswith("1. score 1.000")
    page.select_option("#camera", "o'hare")
    page.click("button.main[type=submit]")
    says(page, "the first 4 of 8")
    page.fill("#since", "2026-01-31T18:00")
    page.click("button.main[type=submit]")
    says(page, "Nothing fits")
    page.fill("#since", "")
    page.fill("#where", "hta = 3")
    page.click("button.main[type=submit]")
    says(page, "hta")
    page.fill("#where", "")
    page.click("button.main[type=submit]")
    says(page, "the first 4 of 8")

    page.click("#results li button >> nth=0")
    assert "camera\no'hare" in page.inner_text("#details")
    page.click("text=Search for this person")
    says(page, "Like that entry")
    page.check("#results li input >> nth=0")
    page.check("#results li input >> nth=1")
    page.click("#compare")
    assert page.locator("#details img").count() == 2
    page.keyboard.press("Escape")

    page.click("#results li button >> nth=0")
    page.click("text=Forget this entry")
    page.click("text=Forget for good")
    says(page, "1 forgotten")
    assert len(gallery) == 7
    assert page.inner_text("#summary") == "7 entries"


def test_forgetting_a_person_spares_who_has_no_tick(page, filled, gallery, crops):
    address, _ = filled
    page.goto(address)
    page.set_input_files("#file", picture(crops[0]))
    page.click("button.main[type=submit]")
    says(page, "the first 8 of 8")
    page.click("#forget-person")
    page.fill("#limit", "-1")
    page.click("text=Show who that would be")
    page.uncheck("text=forget 3")
    page.click("text=Forget for good")
    says(page, "7 forgotten")
    assert len(gallery) == 1


def test_reasons_are_drawn_for_matches_and_for_two_entries(page, filled, crops):
    def drawn():
        page.wait_for_function(
            "() => { const i = document.querySelector('#details img.why');"
            " return i && i.complete && i.naturalWidth > 500; }",
            timeout=60_000,
        )

    page.goto(filled[0])
    page.set_input_files("#file", picture(crops[0]))
    page.click("button.main[type=submit]")
    says(page, "the first 8 of 8")
    page.click("#results li button >> nth=1")
    page.click("text=Why?")
    drawn()
    page.click("text=Search for this person")
    says(page, "Like that entry")
    page.click("#results li button >> nth=0")
    page.click("text=Why?")
    drawn()
    page.click("text=Close")
    page.check("#results li input >> nth=0")
    page.check("#results li input >> nth=1")
    page.click("#compare")
    page.click("text=What makes them alike?")
    drawn()


def test_describe_by_keyboard_alone(page, filled):
    page.goto(filled[0])
    says(page, "Choose a picture")
    page.focus("#words")
    page.keyboard.type("woman, red top")
    page.keyboard.press("Enter")
    says(page, "By description")
    page.focus("#results li button >> nth=0")
    page.keyboard.press("Enter")
    page.wait_for_selector("#details[open]")
    assert "fits the description" in page.inner_text("#details")
    assert "similarity" not in page.inner_text("#details")
    page.keyboard.press("Escape")
    page.wait_for_selector("#details[open]", state="hidden")


def test_a_cut_is_what_is_searched_for(page, filled, crops):
    # The eighth crop stands in the middle of a larger picture.
    frame = Image.fromarray(np.zeros((192, 128, 3), np.uint8))
    frame.paste(Image.open(io.BytesIO(crops[7])), (32, 64))
    file = io.BytesIO()
    frame.save(file, "PNG")
    page.goto(filled[0])
    page.set_input_files("#file", picture(file.getvalue()))
    box = page.locator("#canvas").bounding_box()
    scale = box["width"] / 128
    page.mouse.move(box["x"] + 32 * scale, box["y"] + 64 * scale)
    page.mouse.down()
    page.mouse.move(box["x"] + 64 * scale, box["y"] + 128 * scale)
    page.mouse.up()
    page.click("button.main[type=submit]")
    says(page, "the first 8 of 8")
    score = float(page.inner_text("#results li strong >> nth=0").split()[-1])
    assert score > 0.995


def test_controls_become_a_filter(page, filled, gallery):
    page.goto(filled[0])
    says(page, "Choose a picture")
    page.click("#wearing summary")
    page.select_option("text=female or male >> xpath=.. >> select", "male")
    page.select_option("text=upper body >> xpath=.. >> select", label="other")
    page.select_option("#camera", "o'hare")
    page.fill("#until", "2026-02-01T00:00")
    expected = "camera = 'o''hare' and seen_at < '2026-02-01T00:00' and upper = 'other' and male"
    assert page.inner_text("#filter") == f"Filter: {expected}"
    assert page.inner_text("#worn").strip() == "(2 chosen)"
    meant = gallery.entries(where=expected)
    page.click("#browse")
    page.wait_for_function(
        "n => document.querySelectorAll('#results li').length === n"
        " && !document.getElementById('status').textContent.includes('Searching')",
        arg=len(meant),
    )
    page.click("#reset")
    assert page.inner_text("#filter") == ""
    page.click("#browse")
    says(page, "the first 8 of 8")


def test_a_point_of_the_map_opens_its_entry(page, filled):
    page.goto(filled[0])
    page.click("#draw-map")
    page.wait_for_selector("#map-figure:not([hidden])")
    assert "All 8 entries, by t-SNE" in page.inner_text("#map-status")
    with Client(filled[0]) as client:
        point = client.map()["points"][5]
    page.locator("#map").scroll_into_view_if_needed()
    box = page.locator("#map").bounding_box()
    # A mark's place in the canvas, as the page keeps 14 pixels free at its edges.
    x, y = (14 + point[a] * (box[s] - 2 - 28) for a, s in (("x", "width"), ("y", "height")))
    page.mouse.click(box["x"] + 1 + x, box["y"] + 1 + y)
    page.wait_for_selector("#details[open]")
    assert point["id"] in page.inner_text("#details")
    page.keyboard.press("Escape")

    page.focus("#map")
    said = set()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
        said.add(page.inner_text("#map-at"))
    assert all(text.startswith(("camera 1, 2026", "camera o'hare, 2026")) for text in said)
    page.keyboard.press("Enter")
    page.wait_for_selector("#details[open]")
    page.keyboard.press("Escape")
    page.click("#map-key button >> nth=1")
    assert page.get_attribute("#map-key button >> nth=1", "aria-pressed") == "true"


def test_probabilities_and_a_false_match_rate(page, listen, crops, monkeypatch):
    address, app = listen()
    with Client(address) as client:
        client.add(crops)
        scores = [m["score"] for m in client.search(crops[:1], top_k=8)["matches"]]
    middle = (scores[3] + scores[4]) / 2
    calibration = Calibration(
        slope=0.5, intercept=0.1, false_match_rates=(0.1, 0.001), thresholds=(-1.0, middle),
        true_match_rates=(0.9, 0.5), same_pairs=100, different_pairs=100_000, data="made up",
    )  # fmt: skip
    monkeypatch.setattr(app.state.service.reasons, "calibration", calibration)
    page.goto(address)
    says(page, "Choose a picture")
    options = page.locator("#rate option").all_inner_texts()
    assert options == [
        "any", "1 in 10 (finds 90 % of right ones)", "1 in 1,000 (finds 50 % of right ones)",
    ]  # fmt: skip
    page.set_input_files("#file", picture(crops[0]))
    page.click("button.main[type=submit]")
    says(page, "the first 8 of 8")
    chance = 1 / (1 + np.exp(-(0.5 * scores[0] + 0.1)))
    assert page.inner_text("#results li strong >> nth=0") == f"1. {100 * chance:.0f} %"
    page.select_option("#rate", index=2)
    page.click("button.main[type=submit]")
    says(page, "the first 4 of 8")
    page.click("#forget-person")
    page.select_option("#question select", index=2)
    assert page.input_value("#limit") == f"{middle:.3f}"


def test_a_wrong_token_is_said_to_be_wrong(page, listen):
    address, _ = listen(tokens=Tokens({"anna": TOKEN}))
    page.goto(address)
    page.fill("#token", "no-token-of-this-server")
    page.keyboard.press("Enter")
    page.wait_for_selector("#login-wrong:not([hidden])")
    page.fill("#token", TOKEN)
    page.keyboard.press("Enter")
    says(page, "The gallery is empty")
    assert page.evaluate("sessionStorage.getItem('hatcnn-token')") == TOKEN
    assert page.evaluate("localStorage.length") == 0
    assert TOKEN not in page.url


def test_states_that_say_what_to_do(page, listen, crops):
    address, app = listen(tokens=Tokens({"anna": TOKEN}))
    page.goto(address)
    page.fill("#token", TOKEN)
    page.keyboard.press("Enter")
    says(page, "The gallery is empty")
    page.click("button.main[type=submit]")
    says(page, "Choose a picture or write a description first")
    page.set_input_files("#file", picture(b"text"))
    says(page, "no picture that this browser can read")
    page.set_input_files("#file", picture(crops[0]))
    app.state.service.settings.__dict__["max_pictures"] = 0
    page.click("button.main[type=submit]")
    says(page, "at most 0 pictures")


def test_a_server_that_is_gone_is_named(page, filled):
    page.goto(filled[0])
    says(page, "Choose a picture")
    filled[1].state.stop()
    page.fill("#words", "woman")
    page.keyboard.press("Enter")
    says(page, "The server does not answer")
    page.click("#draw-map")
    page.wait_for_function(
        "() => document.getElementById('map-status').textContent.includes('does not answer')"
    )
    # The browser itself notes connections that are refused.
    assert all("ERR_CONNECTION_REFUSED" in text for text in page.wrong)
    page.wrong.clear()


@pytest.mark.parametrize("page", [{"width": 360, "height": 640}], indirect=True)
def test_a_phone_needs_no_sideways_scrolling(page, filled):
    page.goto(filled[0])
    page.click("#browse")
    says(page, "the first 8 of 8")
    page.click("#wearing summary")
    page.click("#draw-map")
    page.wait_for_selector("#map-figure:not([hidden])")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_an_accessibility_checker_finds_nothing(page, filled):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.goto(filled[0])
    page.click("#browse")
    says(page, "the first 8 of 8")
    # The checker is put into the page, which the page itself allows nobody.
    page.click("#wearing summary")
    page.click("#draw-map")
    page.wait_for_selector("#map-figure:not([hidden])")
    for opened in ("#results", "#details", "#question"):
        if opened == "#details":
            page.click("#results li button >> nth=0")
        if opened == "#question":
            page.click("text=Forget this entry")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = axe.run(page)
            assert len(found.response["passes"]) > 10
            said = found.generate_report()
            assert [v["id"] for v in found.response["violations"]] == [], said
