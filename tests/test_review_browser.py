"""The review page in a real browser: the whole walk by keyboard, and what a browser makes of its rules."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from fakes_reports import HOSTILE
from fakes_review import RULES, TOKEN, a_desk, a_picture, a_shelf, an_occurrence
from sqlalchemy import Engine

from crawler.catalog.engine import open_engine
from reports.finding import Severity
from reports.review.app import new_app
from reports.review.desk import ReviewDesk
from reports.review.session import Door

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserType, Page

HIGH, CRITICAL = Severity.HIGH, Severity.CRITICAL
SHOTS = os.environ.get("LEAKSWEEP_SCREENSHOTS")
"""Folder for pictures of the pages, to be looked at by people; none are made without it."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[tuple[BrowserType, dict[str, Any]]]:
    """What launches browsers, and with which options."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra [dev])")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        # The sandbox cannot be set up by root, which is who tests run as in a container.
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        yield playwright.chromium, {"executable_path": program, "args": sandbox}


@pytest.fixture(scope="module")
def browser(chromium: tuple[BrowserType, dict[str, Any]]) -> Iterator[Browser]:
    launcher, options = chromium
    browser = launcher.launch(**options)
    yield browser
    browser.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'catalog.db'}")
    yield engine
    engine.dispose()


@contextmanager
def served(desk: ReviewDesk, door: Door | None = None) -> Iterator[str]:
    """The page's address, on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = new_app(desk, door or Door(minutes=60, token=TOKEN), RULES)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)


@contextmanager
def a_page(browser: Browser, **options: Any) -> Iterator[tuple[Page, list[str]]]:
    """A page of a fresh profile, and what its console complains of."""
    context = browser.new_context(**options)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page, said
    context.close()


def shot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def tab_to(page: Page, words: str) -> None:
    """Go on with the Tab key alone until what has the focus says these words."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = "document.activeElement"
        said = page.evaluate(f"{focused}.innerText || {focused}.value || {focused}.id || ''")
        if words in said:
            visible = page.evaluate(f"getComputedStyle({focused}).outlineStyle")
            assert visible != "none", f"the focus on {words!r} cannot be seen"
            return
    raise AssertionError(f"the Tab key does not lead to {words!r}")


def test_the_whole_walk_by_keyboard(browser: Browser, engine: Engine) -> None:
    shelf = a_shelf(CRITICAL, HIGH, Severity.LOW)
    desk = a_desk(engine, shelf, scorer=lambda png: 0.31, soften="blur")
    strongest = desk.queue().items[0].id
    with served(desk) as address, a_page(browser) as (page, said):
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}/enter#once={TOKEN}")
        page.wait_for_url(f"{address}/")
        assert TOKEN not in page.url
        assert page.locator("h1").inner_text() == "3 findings wait for your label"
        assert page.locator("img").count() == 0
        shot(page, "queue")

        tab_to(page, "mira/harbour-0")
        press(page, "Enter")
        page.wait_for_url(f"{address}/findings/{strongest}")
        assert "sensitivity score 0.31" in page.inner_text("main")
        assert page.locator("img").count() == 0
        shot(page, "finding")

        tab_to(page, "Show blurred")
        press(page, "Enter")
        page.get_by_role("alert").wait_for()
        assert page.locator("img").count() == 0
        shot(page, "warning")
        tab_to(page, "Show it all the same")
        press(page, "Enter")
        page.locator("figure img").wait_for()
        assert page.evaluate("document.querySelector('figure img').naturalWidth") == 96
        assert "no safeguard" in page.inner_text("main")
        shot(page, "blurred")
        tab_to(page, "Show sharp")
        press(page, "Enter")
        page.get_by_text("Show sharp").wait_for(state="detached")
        assert page.evaluate("document.querySelector('figure img').naturalWidth") == 96
        shot(page, "sharp")

        tab_to(page, "Hide")
        press(page, "Enter")
        page.get_by_role("button", name="Show blurred: extraction").wait_for()
        assert page.locator("img").count() == 0

        tab_to(page, "confirmed")
        press(page, "ArrowDown", "ArrowUp", "Tab")
        page.keyboard.type("the same boat")
        tab_to(page, "Save label")
        press(page, "Enter")
        page.get_by_role("status").wait_for()
        shot(page, "saved")
        assert said == []
        assert {one.split("/")[2] for one in asked if not one.startswith("data:")} == {address.split("/")[2]}
        cookies = page.context.cookies()
        assert [(one["httpOnly"], one["sameSite"]) for one in cookies] == [(True, "Strict")]
    (label,) = desk.acts.labels.of(strongest)
    assert (label.label, label.note) == ("confirmed", "the same boat")
    done = [(one.act, one.details().get("shown")) for one in desk.acts.audit.entries()]
    assert done == [("reveal", "blur"), ("reveal", "sharp"), ("label", None)]


def test_the_way_back_shows_no_picture_again(browser: Browser, engine: Engine) -> None:
    """It was asked for once, so it is shown once: nothing of it is in a cache."""
    desk = a_desk(engine, a_shelf(HIGH))
    with served(desk) as address, a_page(browser) as (page, _):
        page.goto(f"{address}/enter#once={TOKEN}")
        page.get_by_role("link", name="mira/harbour-0").click()
        page.get_by_role("button", name="Show sharp: control").click()
        page.locator("figure img").wait_for()
        page.get_by_role("link", name="Hide").click()
        page.get_by_role("button", name="Show sharp: control").wait_for()
        with pytest.raises(Exception, match="ERR_CACHE_MISS"):
            page.go_back()
        assert page.locator("figure img").count() == 0
    assert [one.act for one in desk.acts.audit.entries()] == ["reveal"]


def test_a_profile_keeps_no_picture_and_no_token_that_still_opens_anything(
    chromium: tuple[BrowserType, dict[str, Any]], engine: Engine, tmp_path: Path
) -> None:
    """Not in cache, history, or what restores tabs after a crash."""
    launcher, options = chromium
    shelf, door, profile = a_shelf(HIGH), Door(minutes=60, token=TOKEN), tmp_path / "profile"
    desk = a_desk(engine, shelf)
    with served(desk, door) as address:
        context = launcher.launch_persistent_context(profile, **options)
        page = context.new_page()
        referers: list[str] = []
        page.on("request", lambda request: referers.append(request.all_headers().get("referer", "")))
        page.goto(f"{address}/enter#once={door.ticket}")
        page.get_by_role("link", name="mira/harbour-0").click()
        page.get_by_role("button", name="Show sharp: extraction").click()
        page.locator("figure img").wait_for()
        again = context.new_page()
        again.goto(page.url)
        assert again.url == page.url.replace("/reveal#picture", "#picture")
        assert again.locator("img").count() == 0
        context.close()
    sent = base64.b64encode(shelf.pictures["job0-000"][0])[40:200]
    written = [path.read_bytes() for path in profile.rglob("*") if path.is_file()]
    assert not any(secret in one for one in written for secret in (TOKEN.encode(), sent))
    assert any(referers)
    assert not any(door.ticket in one for one in referers)
    assert door.enter(door.ticket) is None
    assert [one.act for one in desk.acts.audit.entries()] == ["reveal"]


def test_another_occurrence_by_keyboard(browser: Browser, engine: Engine) -> None:
    shelf = a_shelf(HIGH)
    (finding,) = shelf.found
    for number in range(1, 31):
        name = HOSTILE[number % 4] if number % 3 == 0 else f"mira/mirror-{number}"
        shelf.seen.append(
            an_occurrence(finding, number, checkpoint_id=f"huggingface:{name}@5f:w.safetensors")
        )
        if number != 2:
            shelf.pictures[f"mirror{number}-000"] = (a_picture("olive", 200), a_picture("pink"))
    desk = a_desk(engine, shelf, scorer=lambda png: 0.05, soften="grey")
    with served(desk) as address, a_page(browser) as (page, said):
        page.goto(f"{address}/enter#once={TOKEN}")
        page.get_by_role("link", name="mira/harbour-0").click()
        shot(page, "occurrences-folded")
        tab_to(page, "31 occurrences")
        press(page, "Enter")
        shot(page, "occurrences")
        tab_to(page, "choose")  # the table, which can be scrolled; its first link is next
        press(page, "Tab", "Enter")
        page.get_by_text("Of mirror1-000").wait_for()
        assert page.locator("img").count() == 0
        tab_to(page, "Show in grey")
        press(page, "Enter")
        page.locator("figure img").wait_for()
        assert page.evaluate("document.querySelector('figure img').naturalWidth") == 200
        assert page.locator("img").count() == 1
        shot(page, "occurrence-grey")
        tab_to(page, "Hide")
        press(page, "Enter")
        page.get_by_text("Of mirror1-000").wait_for()
        assert page.locator("img").count() == 0
        page.set_viewport_size({"width": 340, "height": 720})
        shot(page, "narrow-occurrences")
        assert page.evaluate("document.documentElement.scrollWidth") <= 340
        assert said == []
    (entry,) = desk.acts.audit.entries()
    assert (entry.details()["extraction"], entry.details()["shown"]) == ("mirror1-000", "grey")


def test_without_script_all_but_the_token_step_works(browser: Browser, engine: Engine) -> None:
    desk = a_desk(engine, a_shelf(HIGH))
    with served(desk) as address, a_page(browser, java_script_enabled=False) as (page, _):
        page.goto(f"{address}/")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Enter").click()
        page.get_by_role("link", name="mira/harbour-0").click()
        page.get_by_role("button", name="Show sharp: control").click()
        page.locator("figure img").wait_for()
        page.get_by_label("false positive").check()
        page.get_by_role("button", name="Save label").click()
        page.get_by_role("status").wait_for()
    assert [one.act for one in desk.acts.audit.entries()] == ["reveal", "label"]


def test_another_site_can_neither_act_nor_show_the_page(browser: Browser, engine: Engine) -> None:
    """A page at another port is another origin, though its requests carry the cookie."""
    desk, decoy = a_desk(engine, a_shelf(HIGH)), a_desk(engine, a_shelf(HIGH))
    finding = desk.queue().items[0].id
    with served(desk) as address, served(decoy) as other, a_page(browser, bypass_csp=True) as (page, _):
        page.goto(f"{address}/enter#once={TOKEN}")
        page.wait_for_url(f"{address}/")
        page.goto(f"{other}/enter")
        page.evaluate(
            """url => { document.body.innerHTML =
            `<form method=post action="${url}"><input name=label value=confirmed></form>`;
            document.forms[0].submit(); }""",
            f"{address}/findings/{finding}/label",
        )
        page.get_by_text("was not sent by a page of ours").wait_for()
        page.goto(f"{other}/enter")
        page.evaluate("url => { document.body.innerHTML = `<iframe src='${url}'></iframe>` }", f"{address}/")
        page.wait_for_function("frames.length === 1")
        page.wait_for_load_state("networkidle")
        assert "harbour" not in " ".join(frame.content() for frame in page.frames)
    assert list(desk.acts.audit.entries()) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_reads_in_light_and_dark_and_on_a_narrow_screen(
    browser: Browser, engine: Engine, scheme: Any
) -> None:
    name = f"a-very-long-owner-name-{'x' * 60}/{'y' * 90}"
    shelf = a_shelf(CRITICAL, HIGH, set_name=name, ref_id=HOSTILE[0])
    desk = a_desk(engine, shelf, two_person=True)
    desk.acts.label(shelf.found[1].id, "false_positive", "other mast")
    finding = desk.queue().items[0].id
    narrow = {"width": 340, "height": 720}
    with served(desk) as address, a_page(browser, color_scheme=scheme, viewport=narrow) as (page, said):
        page.goto(f"{address}/enter#once={TOKEN}")
        page.wait_for_url(f"{address}/")
        for path in ("/", f"/findings/{finding}"):
            page.goto(address + path)
            shot(page, f"narrow-{scheme}-{'queue' if path == '/' else 'finding'}")
            assert page.evaluate("document.documentElement.scrollWidth") <= 340
        contrast = page.evaluate(CONTRAST)
        assert min(contrast.values()) >= 4.5, contrast
        page.set_viewport_size({"width": 1200, "height": 900})
        shot(page, f"wide-{scheme}-finding")
        page.goto(f"{address}/")
        shot(page, f"wide-{scheme}-queue")
        assert said == []


CONTRAST = """() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = node => { for (; node; node = node.parentElement) {
    const colour = parse(getComputedStyle(node).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return colour; } return [255, 255, 255]; };
  const ratios = {};
  for (const node of document.querySelectorAll('main *, header *')) {
    if (![...node.childNodes].some(child => child.nodeType === 3 && child.data.trim())) continue;
    const pair = [light(parse(getComputedStyle(node).color)), light(ground(node))].sort((a, b) => b - a);
    ratios[node.className + ' ' + node.tagName] = (pair[0] + 0.05) / (pair[1] + 0.05);
  }
  return ratios;
}"""
"""WCAG's contrast of every text with its ground, by class and tag."""
