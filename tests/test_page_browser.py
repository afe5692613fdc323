"""The page in real Chromium: with keys alone, under its policy, on paper and in the dark."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from fakes_browser import Tab, chromium
from fakes_reports import a_checkpoint, a_finding, a_hostile_report, a_job, a_report, a_skip, an_extraction
from test_page import a_png

from reports.finding import FindingState, Severity
from reports.page.page import page
from scanner.job import State

STATES = tuple(FindingState)


@pytest.fixture(scope="module")
def browser():
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pages")


def a_long_report(number: int = 120):
    """Findings of two hubs and two sets, of every grade and state."""
    here, there = a_checkpoint("mira/harbour-lora"), a_checkpoint("4711", hub="civitai", family="sdxl")
    findings = [
        a_finding(
            (here, there)[n % 2],
            f"{'boat' if n % 3 else 'quay'}/{n:04}.jpg",
            Severity(1 + n % 4),
            set_name="exchange" if n % 5 == 0 else "watchlist",
            state=STATES[n % 6],
            similarity=None if n % 7 == 0 else 0.5 + n / 300,
            first_seen=f"2026-11-{1 + n % 24:02}T02:00:00+00:00",
            settled_by="lead" if STATES[n % 6] is FindingState.SUPPRESSED else "",
            settled_why="a stock photograph" if STATES[n % 6] is FindingState.SUPPRESSED else "",
        )
        for n in range(number)
    ]
    return a_report(
        [here, there],
        ledger=[a_job(here), a_job(there, State.FAILED, reason="OutOfMemory")],
        skips=[a_skip("a/pickle")],
        findings=findings,
    )


@pytest.fixture(scope="module")
def long(folder) -> Path:
    path = folder / "long.html"
    path.write_text(page(a_long_report(), {}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def hostile(folder) -> Path:
    path = folder / "hostile.html"
    path.write_text(page(a_hostile_report(), {}), encoding="utf-8")
    return path


def rows(tab):
    return tab.page.locator("#rows a.opens")


def focused(tab) -> str:
    return str(tab.page.evaluate("document.activeElement.id || document.activeElement.closest('tr')?.id"))


@pytest.mark.parametrize("name", ["long", "hostile"])
def test_nothing_fails_nothing_is_blocked_and_nothing_leaves_the_page(browser, name, request):
    path = request.getfixturevalue(name)
    with Tab(browser, path) as tab:
        for at in range(2):
            rows(tab).nth(at).click()
        tab.page.fill("#q", "</script> ' \" & %")
        tab.page.keyboard.press("Enter")
        tab.page.pdf()
        assert tab.wrong == []
        assert tab.asked == [path.as_uri()]


def test_hostile_names_are_text_everywhere(browser, hostile):
    with Tab(browser, hostile) as tab:
        assert rows(tab).count() == 4
        assert rows(tab).nth(0).inner_text() == "<script>alert(1)</script>/\"onload='x'"
        assert "[U+202E]" in tab.page.inner_text("#rows")
        rows(tab).nth(0).click()
        assert "<script>alert(1)</script>" in tab.page.inner_text(".evidence")
        assert tab.page.locator("script").count() == 2
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 1200


def test_a_filter_is_typed_ticked_and_taken_back(browser, long):
    with Tab(browser, long) as tab:
        assert tab.page.inner_text("#shown") == "120 findings; 1 to 50 are listed"
        tab.page.fill("#q", "quay WATCHLIST")
        assert tab.page.inner_text("#shown") == "32 of 120 findings"
        tab.page.check("[name=severity][value=critical]")
        assert tab.page.inner_text("#shown") == "8 of 120 findings"
        tab.page.select_option("#hub", "huggingface")
        assert tab.page.inner_text("#shown") == "0 of 120 findings"
        tab.page.click("#all")
        assert tab.page.inner_text("#shown") == "120 findings; 1 to 50 are listed"
        assert focused(tab) == "q"


def test_a_filtered_view_can_be_shared_by_its_address(browser, long):
    with Tab(browser, long) as tab:
        tab.page.fill("#q", "boat & quay=<b>")
        tab.page.fill("#q", "boat")
        tab.page.check("[name=state][value=new]")
        tab.page.check("[name=state][value=gone]")
        tab.page.select_option("#set", "watchlist")
        tab.page.click("[data-sort=seen]")
        shown, fragment = rows(tab).all_inner_texts(), tab.fragment
    assert fragment == "#findings?q=boat&state=new,gone&set=watchlist&sort=-seen"
    with Tab(browser, long, fragment) as tab:
        assert rows(tab).all_inner_texts() == shown
        assert tab.page.input_value("#q") == "boat"
        assert tab.page.is_checked("[name=state][value=gone]")
        assert tab.page.locator("th[aria-sort=descending]").inner_text().startswith("First seen")


def test_a_link_to_a_finding_opens_its_evidence_wherever_it_stands(browser, long):
    finding = a_finding(a_checkpoint("mira/harbour-lora"), "boat/0004.jpg").id
    for fragment in (f"#finding-{finding}", f"#finding-{finding}?severity=critical"):
        with Tab(browser, long, fragment) as tab:
            assert tab.page.inner_text(".evidence h3") == f"Finding {finding}"
            assert focused(tab) == f"finding-{finding}"
            assert tab.page.locator(f"#finding-{finding}").is_visible()
            assert f"leaksweep verify {finding}" in tab.page.inner_text(".evidence")
    with Tab(browser, long, "#finding-nonesuch") as tab:
        assert tab.page.inner_text("#shown").startswith("120 findings")


def test_evidence_says_what_was_measured_and_what_became_of_it(browser, folder):
    checkpoint = a_checkpoint()
    found = a_finding(
        checkpoint,
        state=FindingState.SUPPRESSED,
        settled_by="lead",
        settled_why="a stock photograph",
        settled_at="2026-11-20T09:00:00+00:00",
        settled_until="2026-12-20T00:00:00+00:00",
        occurrences=3,
    )
    path = folder / "one.html"
    path.write_text(page(a_report([checkpoint], findings=[found]), {}), encoding="utf-8")
    with Tab(browser, path, f"#finding-{found.id}") as tab:
        words = " ".join(tab.page.inner_text(".evidence").split())
        for told in (
            "PDQ distance, bits of 256 24 – – critical ≤ 20, high ≤ 30, low ≤ 52",
            "0.87 0.12 – critical ≥ 0.75, high ≥ 0.75, medium ≥ 0.6, low ≥ 0.5",
            "not calibrated: 0 wrong checkpoints, and it takes 19",
            "3 extractions match this reference",
            "suppressed; not counted",
            "lead, 2026-11-20, 09:00 UTC, until 2026-12-20, 00:00 UTC: a stock photograph",
            "Seed 100",
            "from instance prompt",
        ):
            assert told in words


def test_the_page_is_worked_with_keys_alone(browser, long):
    with Tab(browser, long) as tab:
        for _ in range(40):
            tab.page.keyboard.press("Tab")
            if focused(tab) == "q":
                break
        assert focused(tab) == "q"
        assert tab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        tab.page.keyboard.type("quay")
        tab.page.keyboard.press("ArrowDown")
        first = focused(tab)
        assert first.startswith("finding-")
        tab.page.keyboard.press("ArrowDown")
        assert focused(tab) != first
        tab.page.keyboard.press("ArrowUp")
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_selector(".evidence")
        assert tab.fragment == f"#{first}?q=quay"
        assert focused(tab) == first
        assert tab.page.get_attribute(f"#{first} a.opens", "aria-expanded") == "true"
        tab.page.keyboard.press("Escape")
        assert tab.page.locator(".evidence").count() == 0
        assert (focused(tab), tab.fragment) == (first, "#findings?q=quay")
        tab.page.keyboard.press("ArrowUp")
        assert focused(tab) == "q"


def test_a_click_on_a_row_opens_it_and_back_closes_it(browser, long):
    with Tab(browser, long) as tab:
        tab.page.locator("#rows tr").nth(2).locator("td").nth(2).click()
        tab.page.wait_for_selector(".evidence")
        tab.page.locator("#rows tr").nth(2).locator("td").nth(2).click()
        tab.page.wait_for_selector(".evidence", state="detached")


def test_columns_sort_both_ways_and_what_has_no_value_comes_last(browser, long):
    with Tab(browser, long) as tab:
        for way, sign in (("descending", -1), ("ascending", 1)):
            tab.page.click("[data-sort=likeness]")
            assert tab.page.locator(f"th[aria-sort={way}]").inner_text().startswith("Likeness")
            seen = [
                float(text.split(",")[0]) for text in tab.page.locator(".gauged .under").all_inner_texts()
            ]
            assert len(seen) == 50
            assert all(sign * (b - a) >= 0 for a, b in pairwise(seen))
        for _ in range(2):
            tab.page.click("#after")
        assert "hash only" in tab.page.locator("#rows tr").last.inner_text()
        tab.page.click("[data-sort=likeness]")
        assert tab.page.locator("th[aria-sort=none]").count() == 6


def test_pages_of_rows_hold_them_all(browser, long):
    with Tab(browser, long) as tab:
        ids = set()
        for number in (1, 2, 3):
            assert tab.page.inner_text("#page") == f"Page {number} of 3"
            ids |= {row.get_attribute("id") for row in tab.page.locator("#rows tr").all()}
            if number < 3:
                tab.page.click("#after")
        assert len(ids) == 120
        assert tab.page.is_disabled("#after")


def test_the_numbers_at_the_top_lead_to_the_rows_they_count(browser, long):
    with Tab(browser, long) as tab:
        number = tab.page.locator(".standings a").first
        count = int(number.inner_text())
        number.click()
        tab.page.wait_for_function("n => document.querySelectorAll('#rows tr').length === n", arg=count)


def test_without_a_script_all_rows_are_there(browser, long):
    with Tab(browser, long, java_script_enabled=False) as tab:
        assert tab.page.locator("noscript tbody tr").count() == 120
        assert not tab.page.locator("#finder").is_visible()
        assert not tab.page.locator("#browser").is_visible()


def test_a_picture_opens_by_itself_beside_its_finding(browser, folder):
    checkpoint = a_checkpoint()
    report = a_report([checkpoint], findings=[a_finding(checkpoint)])
    path = folder / "thumbs.html"
    path.write_text(page(report, {an_extraction(checkpoint)["id"]: a_png()}), encoding="utf-8")
    with Tab(browser, path) as tab:
        assert not tab.page.locator("img").is_visible()
        rows(tab).first.click()
        assert not tab.page.locator("img").is_visible()
        tab.page.click(".evidence summary")
        assert tab.page.locator(".evidence img").is_visible()
        assert tab.page.evaluate("document.querySelector('img').naturalWidth") == 8
        tab.page.keyboard.press("Escape")
        assert tab.page.locator("#pictures img").count() == 1
        assert tab.wrong == []


def test_all_sections_and_rows_are_on_paper(browser, long):
    pypdfium2 = pytest.importorskip("pypdfium2", reason="the Python package pypdfium2 is not installed")
    with Tab(browser, long) as tab:
        printed = pypdfium2.PdfDocument(tab.page.pdf(format="A4"))
    words = "\n".join(sheet.get_textpage().get_text_range() for sheet in printed)
    for heading in (
        "Findings",
        "Coverage",
        "Leakage rates",
        "How often the match is wrong",
        "Blind spots of this run",
        "Method and limits",
        "Recipe and versions",
        "How to read the numbers",
    ):
        assert heading in words
    assert len(set(re.findall(r"(?:boat|quay)/\d{4}\.jpg", words))) == 120
    assert "Reference set\nany" not in words


@pytest.mark.parametrize("width", [400, 800])
def test_a_narrow_window_scrolls_down_only(browser, long, width):
    with Tab(browser, long, viewport={"width": width, "height": 800}) as tab:
        rows(tab).first.click()
        tab.page.wait_for_selector(".evidence")
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(browser, long, scheme):
    """WCAG 2.2, 1.4.3: 4.5 to 1, computed from the colours that the browser shows."""
    with Tab(browser, long, color_scheme=scheme) as tab:
        rows(tab).first.click()
        faint = tab.page.evaluate(CONTRAST)
        assert faint == []
        assert (
            tab.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
            == ({"light": "rgb(252, 251, 248)", "dark": "rgb(23, 24, 26)"}[scheme])
        )


def test_what_a_screen_reader_needs_is_there(browser, long):
    with Tab(browser, long) as tab:
        rows(tab).first.click()
        levels = tab.page.evaluate(
            "[...document.querySelectorAll('h1,h2,h3,h4')].map((one) => +one.tagName[1])"
        )
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        assert tab.page.evaluate(UNNAMED) == []
        assert (
            tab.page.evaluate("[...document.querySelectorAll('th')].filter((one) => !one.scope).length") == 0
        )
        ids = tab.page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
        assert len(ids) == len(set(ids))
        assert tab.page.evaluate("document.documentElement.lang") == "en"


CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (v) => v <= 10.3 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const ground = (at) => {
    const colour = rgb(getComputedStyle(at).backgroundColor);
    return colour.length < 4 || colour[3] > 0 ? colour : ground(at.parentElement);
  };
  const ratio = (one) => {
    const [a, b] = [rgb(getComputedStyle(one).color), ground(one)].map(light).sort((x, y) => y - x);
    return (a + .05) / (b + .05);
  };
  const written = (one) => [...one.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  return [...document.querySelectorAll("body *")]
    .filter((one) => one.checkVisibility() && written(one) && !one.closest("svg, option, :disabled"))
    .map((one) => [one.outerHTML, ratio(one)])
    .filter(([, ratio]) => ratio < 4.5);
}"""

UNNAMED = """() => {
  const all = "input, select, button, a, summary, [role=region], [role=search], svg[role=img], nav";
  const named = (one) => one.labels?.length || (!one.matches("input, select") && one.textContent.trim())
    || one.getAttribute("aria-label") || one.getAttribute("aria-labelledby");
  return [...document.querySelectorAll(all)].filter((one) => !named(one)).map((one) => one.outerHTML);
}"""
