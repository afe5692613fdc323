"""Figures of rates: readable without colour, text as text, the same bytes for the same table."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from fakes_reports import a_checkpoint, a_finding, a_hostile_report, a_report, a_skip
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from crawler.checkpoint import Kind
from reports.export.plots import svg
from reports.export.rate_plots import MOST, rate_figure, write_rate_plots
from reports.finding import ReportError
from reports.rates.accuracy import read_sensitivity
from reports.rates.table import rate_table

BY = [("family", "kind")]


def a_table(**arguments):
    checkpoints = [
        a_checkpoint(f"o{number}/{number}", kind=Kind.LORA if number % 3 else Kind.FULL)
        for number in range(60)
    ]
    skips = [a_skip(f"s/{number}", family="sd1", kind=Kind.LORA) for number in range(9)]
    report = a_report(checkpoints, skips=skips, findings=[a_finding(one) for one in checkpoints[:7]])
    defaults = {"by": BY, "decoy_hits": (), "sensitivity": read_sensitivity("0.5:0.4-0.6")}
    return rate_table(report, **(defaults | arguments))


def drawn(**arguments) -> Figure:
    table = a_table(**arguments)
    figure = rate_figure(table.by(*table.rates[-1].group), table)
    assert figure is not None
    return figure


def words(figure: Figure) -> list[str]:
    root = ElementTree.fromstring(svg(figure))
    return [
        text for node in root.iter("{http://www.w3.org/2000/svg}text") if (text := "".join(node.itertext()))
    ]


def test_text_stays_text_and_the_denominators_stand_at_the_right():
    said = words(drawn())
    assert {"sd1 · full", "sd1 · lora", "found, 95 % interval", "corrected"} <= set(said)
    assert any(text.startswith("3 of 20") for text in said)
    assert any("9 left out" in text for text in said)
    assert "checkpoints that leak at high severity or above" in said


def test_the_svg_holds_no_pixels_and_no_letters_as_paths():
    made = svg(drawn(), transparent=False)
    assert "<image" not in made
    assert not re.search(r'id="[^"]*(DejaVu|Sans)', made)


def test_there_is_no_colour():
    figure = drawn()
    with io.BytesIO() as out:
        figure.savefig(out, format="png", dpi=60)
        pixels = np.asarray(Image.open(out).convert("RGB")).astype(int)
    assert int(np.ptp(pixels, axis=2).max()) <= 2
    assert pixels.min() < 40


def test_found_and_corrected_differ_in_shape_fill_and_line():
    lines = [line for line in drawn().axes[0].get_lines() if line.get_marker() != "None"]
    shapes = {(line.get_marker(), to_rgb(line.get_markerfacecolor())) for line in lines}
    assert shapes == {("o", (0, 0, 0)), ("D", (1, 1, 1))}
    styles = {line.get_linestyle() for line in drawn().axes[0].get_lines() if line.get_marker() == "None"}
    assert len(styles) == 2


def test_what_was_left_out_is_a_hatched_bar():
    bars = drawn().axes[0].patches
    assert len(bars) == 1
    assert bars[0].get_hatch()
    assert bars[0].get_width() == pytest.approx(100 * 9 / 49)


def test_the_axis_ends_where_everything_fits():
    figure = drawn(sensitivity=None)
    assert figure.axes[0].get_xlim() == (0, 50)


def test_without_a_correction_the_legend_does_not_speak_of_one():
    assert "corrected" not in words(drawn(decoy_hits=None))


def test_without_a_rate_there_is_no_figure(tmp_path):
    report = a_report(skips=[a_skip("a/b")])
    table = rate_table(report, by=[("family",)])
    assert rate_figure(table.by("family"), table) is None
    assert write_rate_plots(table, tmp_path) == []


def test_each_grouping_has_a_figure_in_both_forms(tmp_path):
    table = a_table(by=[("family", "kind"), ("hub",)])
    files = write_rate_plots(table, tmp_path)
    assert [path.name for path in files] == [
        "rates-by-family-kind.svg",
        "rates-by-family-kind.png",
        "rates-by-hub.svg",
        "rates-by-hub.png",
    ]
    with Image.open(tmp_path / "rates-by-hub.png") as png:
        assert png.width > 2000
        assert png.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_the_same_table_gives_the_same_bytes(tmp_path):
    once = [path.read_bytes() for path in write_rate_plots(a_table(), tmp_path / "a")]
    again = [path.read_bytes() for path in write_rate_plots(a_table(), tmp_path / "b")]
    assert once == again


def test_hostile_names_are_labels_and_nothing_more():
    table = rate_table(a_hostile_report(), by=[("family",)])
    figure = rate_figure(table.by("family"), table)
    made = svg(figure)
    assert "<script" not in made
    assert any(text.startswith("<script>alert") for text in words(figure))
    assert "\u202e" not in made


def test_more_groups_than_a_figure_holds_are_left_to_the_table():
    checkpoints = [a_checkpoint(f"o/{number}", family=f"family{number:02}") for number in range(MOST + 5)]
    table = rate_table(a_report(checkpoints), by=[("family",)], cluster="none")
    figure = rate_figure(table.by("family"), table)
    assert len(figure.axes[0].get_yticks()) == MOST


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="cannot be written"):
        write_rate_plots(a_table(), tmp_path / "file")


def test_the_settings_of_matplotlib_stay_as_they_were():
    before = dict(mpl.rcParams)
    svg(drawn())
    assert dict(mpl.rcParams) == before
