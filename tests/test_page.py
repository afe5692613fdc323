from __future__ import annotations

import base64
import hashlib
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from fakes_reports import (
    HOSTILE,
    RECIPE,
    a_checkpoint,
    a_finding,
    a_hostile_report,
    a_job,
    a_matching,
    a_report,
    a_set,
    a_skip,
    an_extraction,
)
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reports.export.plots import leakage_plot
from reports.export.text import percent, shortened, visible
from reports.finding import FindingState, ReportError
from reports.findings.states import Flood
from reports.matching.canaries import CanaryCheck
from reports.page.page import page
from scanner.job import State

ONE, OTHER = a_checkpoint("a/one"), a_checkpoint("a/other")
LOADS = {
    "src",
    "srcset",
    "poster",
    "data",
    "background",
    "action",
    "formaction",
    "ping",
    "manifest",
    "xlink:href",
}
VOID = {"meta", "br", "img", "link", "input", "hr", "wbr"}
ENDED_BY = {"td": {"td", "th"}, "th": {"td", "th"}, "tr": {"td", "th", "tr"}}
"""A cell or a row needs no end of its own: the next one is it."""


class Reader(HTMLParser):
    """A page's tags, its text, and whether it is well nested; a browser without script sees the same."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self._end(ENDED_BY.get(tag, set()))
        self.text.append(" " if tag in ENDED_BY else "")
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in {"tbody", "tr"}:
            self._end({"td", "th", "tr"} - {tag})
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in {"script", "style"}:
            self.text.append(data)

    def _end(self, tags):
        while self.open and self.open[-1] in tags:
            self.open.pop()

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


def read(report, thumbnails=None) -> Reader:
    return Reader(page(report, thumbnails or {}))


def a_png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (90, 30, 30)).save(out, "PNG")
    return out.getvalue()


def a_full_report(**fields):
    good, bad = a_checkpoint("a/good"), a_checkpoint("a/bad")
    ledger = [a_job(good), a_job(bad, State.FAILED, reason="OutOfMemory", detail="too large")]
    return a_report(
        [good, bad], ledger=ledger, skips=[a_skip("a/pickle")], findings=[a_finding(good)], **fields
    )


@pytest.mark.parametrize(
    "report", [a_report(), a_full_report(), a_hostile_report()], ids=["empty", "full", "hostile"]
)
def test_the_page_is_well_formed_and_loads_nothing(report):
    reader = read(report)
    assert not reader.open
    for tag, attributes in reader.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form", "img", "image"}
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
        assert not (LOADS & set(attributes)), (tag, attributes)
        target = attributes.get("href") or ""
        if tag == "a":
            assert target.startswith(("#", "https://huggingface.co/", "https://civitai.com/"))
        elif target:
            assert target.startswith("#")
    (style,) = re.findall(r"<style>(.*?)</style>", page(report, {}), re.S)
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_allows_this_style_and_this_script_and_nothing_else():
    html = page(a_full_report(), {})
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.S)
    (script,) = re.findall(r'<script type="module">(.*?)</script>', html, re.S)
    digests = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (script, style)]
    metas = Reader(html).named("meta")
    (policy,) = [meta["content"] for meta in metas if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{digests[0]}'; style-src 'sha256-{digests[1]}'; "
        "img-src 'none'; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


def test_the_scripts_are_this_one_and_data():
    kinds = [script.get("type") for script in read(a_full_report()).named("script")]
    assert kinds == ["application/json", "module"]


def test_the_script_is_short_and_makes_no_markup_from_text():
    (script,) = re.findall(r'<script type="module">(.*?)</script>', page(a_full_report(), {}), re.S)
    lines = [line for line in script.splitlines() if line.strip() and not line.lstrip().startswith("//")]
    assert len(lines) < 250
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(|fetch\(|XMLHttp|import\(|\.style\b",
        script,
    )


def test_every_hostile_name_is_shown_as_text():
    reader = read(a_hostile_report())
    for name in HOSTILE:
        assert " ".join(visible(name).split()) in reader.words
    assert "\u202e" not in page(a_hostile_report(), {})


def test_jump_marks_lead_somewhere():
    reader = read(a_full_report())
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for link in reader.named("a"):
        if link["href"].startswith("#"):
            assert link["href"][1:] in ids


def test_tables_say_what_their_cells_are():
    assert all(header.get("scope") in {"col", "row"} for header in read(a_full_report()).named("th"))


def test_a_picture_is_there_only_when_asked_for_and_closed_and_says_what_it_is():
    checkpoint = a_checkpoint()
    extraction = an_extraction(checkpoint)["id"]
    report = a_report([checkpoint], findings=[a_finding(checkpoint), a_finding(checkpoint, "another.jpg")])
    assert not read(report).named("img")
    html = page(report, {extraction: a_png()})
    (picture,) = Reader(html).named("img")
    assert base64.b64decode(picture["src"].removeprefix("data:image/png;base64,")) == a_png()
    assert picture["alt"].startswith("Generated by mira/harbour-lora, seed 100: extraction that matches ")
    assert picture["alt"].endswith(" of watchlist. Not the reference itself.")
    assert "img-src data:;" in html
    (closed,) = [one for one in Reader(html).named("details") if one.get("class") == "picture"]
    assert "open" not in closed


def test_a_picture_of_an_extraction_without_a_finding_is_not_shown():
    assert not read(a_report([a_checkpoint()]), {"another": a_png()}).named("img")


def test_a_thumbnail_that_is_no_picture_is_an_error():
    with pytest.raises(ReportError, match="another: neither PNG nor JPEG"):
        page(a_report(), {"another": b"<svg onload='alert(1)'/>"})


def test_no_prompt_is_on_the_page():
    checkpoint = a_checkpoint()
    assert checkpoint.prompts[0].text not in page(
        a_report([checkpoint], findings=[a_finding(checkpoint)]), {}
    )


@pytest.mark.parametrize(
    ("report", "sentences"),
    [
        (a_report(), ["Nothing was scanned", "Nothing scannable", "exit code 3"]),
        (a_report([ONE]), ["checkpoint that was scanned was not seen to give back", "Clean.", "exit code 0"]),
        (a_report([ONE], matching=None), ["1 checkpoint was scanned, but there was no reference set"]),
        (a_report([ONE], findings=[a_finding(ONE)]), ["that was scanned gives back pictures", "exit code 1"]),
        (a_report([ONE, OTHER], findings=[a_finding(ONE)]), ["1 of 2 scanned checkpoints gives back"]),
        (a_report([ONE, OTHER]), ["None of 2 scanned checkpoints was seen to give back"]),
        (a_full_report(), ["Incomplete. 1 scan failed, so what", "exit code 2", "OutOfMemory: too large"]),
        (a_full_report(), ["Only pickled weights, which can run code when loaded."]),
        (a_report([ONE], ledger=[a_job(ONE, State.QUEUED)]), ["1 scan is not done, so"]),
    ],
)  # fmt: skip
def test_the_page_says_what_happened(report, sentences):
    for sentence in sentences:
        assert sentence in read(report).words


def test_findings_that_do_not_count_stand_apart():
    checkpoint = a_checkpoint()
    findings = [
        a_finding(checkpoint, "1", state=FindingState.GONE),
        a_finding(checkpoint, "2", explained_by_base=True),
        a_finding(checkpoint, "3", explained_by_others=True),
        a_finding(checkpoint, "4", state=FindingState.SUPPRESSED),
        a_finding(checkpoint, "5", state=FindingState.WITHDRAWN),
    ]
    words = read(a_report([checkpoint], findings=findings)).words
    assert "was not seen to give back" in words
    assert words.count("new, explained") == 2
    assert "high 0 0 0 2 1 1 1" in words


def test_a_hash_only_finding_has_no_likeness():
    checkpoint = a_checkpoint()
    finding = a_finding(checkpoint, similarity=None, control_similarity=None, phash_distance=None)
    assert "hash only 24 " in read(a_report([checkpoint], findings=[finding])).words


def test_false_positives_that_were_not_measured_are_not_zero():
    assert "Not measured." in read(a_report([a_checkpoint()], matching=a_matching(a_set("watchlist")))).words


@pytest.mark.parametrize(
    ("decoys", "pairs", "sentence"),
    [(10**6, 10_000, "so chance explains at most about 0.038"), (1000, 10**6, "compare with more decoys")],
)
def test_false_positives_are_held_against_the_size_of_the_run(decoys, pairs, sentence):
    matching = a_matching(a_set("a", pairs=pairs), a_set("b", decoy=True, pairs=decoys))
    assert sentence in read(a_report([ONE], matching=matching)).words


def test_extractions_of_another_recipe_are_mentioned():
    checkpoint = a_checkpoint()
    rows = [an_extraction(checkpoint, 0), an_extraction(checkpoint, 1) | {"recipe_id": "000000000000"}]
    words = read(a_report([checkpoint], extractions=rows)).words
    assert "extractions of 1 other recipe, which" in words
    assert "extractions of 1 other recipe" not in read(a_report([checkpoint])).words
    assert RECIPE.id in words


def test_a_browser_without_script_has_every_finding():
    checkpoint, number = a_checkpoint(), 1203
    findings = [a_finding(checkpoint, f"{n}.jpg") for n in range(number)]
    words = read(a_report([checkpoint], findings=findings)).words
    assert f"these are all {number:,} findings" in words
    assert {part for one in findings for part in (one.id, one.match.ref_id)} <= set(words.split())


def test_the_same_report_gives_the_same_page():
    assert page(a_full_report(), {}) == page(a_full_report(), {})
    assert page(a_full_report(), {}) != page(replace(a_full_report(), version="0.2.0"), {})


def test_a_plot_takes_its_colours_from_the_page():
    plot = leakage_plot(a_full_report().by_group)
    assert "currentColor" in plot
    assert "sd1 · lora" in plot
    assert "style=" not in plot
    assert "<metadata" not in plot
    assert not re.findall(r"#[0-9a-fA-F]{6}\b", plot)


def test_no_scan_no_plot():
    assert leakage_plot(a_report(skips=[a_skip("a/b")]).by_group) == ""


SHARES = {
    0: "0",
    1e-9: "<0.0001",
    0.00002: "0.002",
    0.0021: "0.21",
    0.0312: "3.1",
    0.5: "50",
    0.999: "99.9",
    0.9999: "99.9",
    1: "100",
}


@pytest.mark.parametrize(("share", "text"), SHARES.items())
def test_a_share_in_per_cent(share, text):
    assert percent(share) == f"{text}\u00a0%"


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_a_share_is_never_rounded_to_all_or_nothing(share):
    assert percent(share) not in {"0\u00a0%", "100\u00a0%", "100.0\u00a0%", "0.00\u00a0%"}


def test_invisible_characters_are_named_and_joiners_left():
    assert visible("a\u202eb\x00\n") == "a[U+202E]b[U+0000][U+000A]"
    assert visible("\u0646\u200c\u0627 日本") == "\u0646\u200c\u0627 日本"


@given(st.text(), st.integers(1, 20))
def test_shortened_text_fits(text, longest):
    assert len(shortened(text, longest)) <= longest
    assert shortened(text, len(text)) == text


def test_what_could_not_be_compared_is_said():
    flood = Flood("watchlist", "border.png", 1400)
    words = read(a_report([ONE], matching=a_matching(a_set("watchlist"), floods=(flood,), unhashed=1))).words
    assert "PDQ none" in words
    assert "10 extractions have no PDQ hash to compare: 10 not installed." in words
    assert "1 extraction has no hash at all" in words
    assert "border.png of watchlist (1,400 checkpoints)" in words


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"compared_by": {"pdq": 10}}, "watchlist: hashes only. A copy that training has cropped"),
        (
            {"compared_by": {"pdq": 10, "sscd@other": 0}},
            "watchlist: described by sscd@other, and no",
        ),
        ({"compared_by": {"pdq": 0, "phash": 10}}, "watchlist: no extraction could be compared by PDQ."),
        ({"entries": 0}, "watchlist: the set is empty"),
    ],
)
def test_blind_spots_are_named(fields, sentence):
    assert sentence in read(a_report([ONE], matching=a_matching(a_set("watchlist", **fields)))).words


def test_canaries_say_whether_the_match_was_alive():
    alive = CanaryCheck(planted=8, found=8)
    missed = CanaryCheck(planted=8, found=7, missed=("pdq canary 3",))
    for check, sentence in [
        (alive, "Yes: all 8 canaries"),
        (missed, "1 was missed: pdq canary 3. What this match did not find proves nothing."),
        (missed, "Incomplete. The match missed canaries"),
        (CanaryCheck(), "Not tried. No canary"),
    ]:
        assert sentence in read(a_report([ONE], matching=a_matching(a_set("a"), canaries=check))).words


def test_rates_come_with_the_plain_sentence_and_by_hub():
    words = read(a_report([ONE, OTHER], findings=[a_finding(ONE)])).words
    assert "Of 2 scanned checkpoints, 1 (50.0 %, 95 % interval" in words
    assert "By hub" in words
    assert "intervals of 95 %, and about one in twenty misses" in words
    assert "matching 7, recipe" in words


def test_a_baseline_is_named():
    words = read(a_report([ONE], findings=[a_finding(ONE)], baseline="last\u202e-week.jsonl")).words
    assert "since the baseline last[U+202E]-week.jsonl" in words
    assert "At least one that is new or changed at high severity" in words


def test_the_thresholds_in_force_are_shown():
    words = read(a_report([ONE])).words
    assert "pdq critical 20" in " ".join(words.split()) or "pdq critical20" in words
    assert "the defaults, not calibrated" in words
