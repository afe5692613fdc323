"""The review page in a real browser: the whole walk by keyboard, and what a browser makes of its rules."""

from __future__ import annotations

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
from fakes_review import RULES, TOKEN, a_desk, a_shelf
from sqlalchemy import Engine

from crawler.catalog.engine import open_engine
from reports.finding import Severity
from reports.review.app import ReviewDesk, new_app
from reports.review.session import Door

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HIGH, CRITICAL = Severity.HIGH, Severity.CRITICAL
SHOTS = os.environ.get("LEAKSWEEP_SCREENSHOTS")
"""Folder for pictures of the pages, to be looked at by people; none are made without it."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra [dev])")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        # The sandbox cannot be set up by root, which is who tests run as in a container.
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=chromium, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'catalog.db'}")
    yield engine
    engine.dispose()


@contextmanager
def served(desk: ReviewDesk) -> Iterator[str]:
    """The page's address, on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = new_app(desk, Door(minutes=60, token=TOKEN), RULES)
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
        page.goto(f"{address}/enter#token={TOKEN}")
        page.wait_for_url(f"{address}/")
        assert TOKEN not in page.url
        assert page.locator("h1").inner_text() == "3 findings wait for your label"
        assert page.locator("img").count() == 0
        shot(page, "queue")

        tab_to(page, "mira/harbour-0")
        press(page, "Enter")
        page.wait_for_url(f"{address}/findings/{strongest}")
        assert "of the extraction 0.31" in page.inner_text("main")
        assert page.locator("img").count() == 0
        shot(page, "finding")

        tab_to(page, "Show the extraction")
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
        tab_to(page, "Show it sharp")
        press(page, "Enter")
        page.get_by_text("Show it sharp").wait_for(state="detached")
        assert page.evaluate("document.querySelector('figure img').naturalWidth") == 96
        shot(page, "sharp")

        tab_to(page, "Hide")
        press(page, "Enter")
        page.get_by_role("button", name="Show the extraction").wait_for()
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
        page.goto(f"{address}/enter#token={TOKEN}")
        page.get_by_role("link", name="mira/harbour-0").click()
        page.get_by_role("button", name="Show the control").click()
        page.locator("figure img").wait_for()
        page.get_by_role("link", name="Hide").click()
        page.get_by_role("button", name="Show the control").wait_for()
        with pytest.raises(Exception, match="ERR_CACHE_MISS"):
            page.go_back()
        assert page.locator("figure img").count() == 0
    assert [one.act for one in desk.acts.audit.entries()] == ["reveal"]


def test_without_script_all_but_the_token_step_works(browser: Browser, engine: Engine) -> None:
    desk = a_desk(engine, a_shelf(HIGH))
    with served(desk) as address, a_page(browser, java_script_enabled=False) as (page, _):
        page.goto(f"{address}/")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Enter").click()
        page.get_by_role("link", name="mira/harbour-0").click()
        page.get_by_role("button", name="Show the control").click()
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
        page.goto(f"{address}/enter#token={TOKEN}")
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
        page.goto(f"{address}/enter#token={TOKEN}")
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
