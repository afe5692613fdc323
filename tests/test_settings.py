"""The settings file: defaults letter by letter, layers in order, and errors that name the key."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extraction.recipe import REFERENCE
from leaksweep.config_text import config_text, toml_value
from leaksweep.settings import Settings, SettingsError, fields, load, parse_override, values

ROOT = Path(__file__).resolve().parents[1]


def written(folder: Path, text: str) -> Path:
    path = folder / "leak.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_config_toml_shows_the_defaults_letter_by_letter() -> None:
    assert (ROOT / "config.toml").read_text(encoding="utf-8") == config_text(), (
        "run: leaksweep config init --force"
    )


def test_config_toml_loads_as_the_defaults() -> None:
    loaded = load(ROOT / "config.toml")
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {str(ROOT / "config.toml")}, (
        "a setting is missing from config.toml"
    )


def test_every_setting_says_what_it_means() -> None:
    assert [key for key, field in fields().items() if not field.description] == []


def test_nothing_is_needed_to_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load()
    assert loaded.file is None
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}


def test_a_file_in_the_working_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.toml").write_text("[scanner]\nworkers = 3\n", encoding="utf-8")
    loaded = load()
    assert loaded.settings.scanner.workers == 3
    assert loaded.origins["scanner.workers"] == "config.toml"
    assert loaded.origins["scanner.batch"] == "default"


def test_the_command_line_wins(tmp_path: Path) -> None:
    file = written(tmp_path, "home = 'there'\n[scanner]\nworkers = 3\nbatch = 2\n")
    loaded = load(file, {"scanner.workers": 5, "home": None})
    assert (loaded.settings.scanner.workers, loaded.settings.scanner.batch) == (5, 2)
    assert loaded.settings.home == Path("there")
    assert loaded.origins["scanner.workers"] == "command line"


def test_none_is_a_word_where_a_setting_may_be_absent(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, '[recipe]\nscale_start = "none"\n[reports.review]\nsoften = "none"\n'))
    assert loaded.settings.recipe.scale_start is None
    assert loaded.settings.reports.review.soften == "none"


def test_a_preset_stands_for_the_whole_recipe(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, '[recipe]\npreset = "reference"\nscale = 9.0\n'))
    assert loaded.settings.recipe == REFERENCE
    assert loaded.origins["recipe.scale"] == "preset reference"


def test_the_command_line_changes_a_preset(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, '[recipe]\npreset = "reference"\n'), {"recipe.steps": 7})
    assert loaded.settings.recipe == REFERENCE.model_copy(update={"steps": 7})


def test_one_number_of_a_section_can_be_changed_alone(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, "[reports.ladder.thumbnail]\nlow = 0.7\n"))
    assert loaded.settings.reports.ladder.thumbnail.low == 0.7
    assert loaded.settings.reports.ladder.thumbnail.high == Settings().reports.ladder.thumbnail.high


WRONG = {
    "unknown key": (
        "worker = 1",
        r"leak\.toml: there is no setting 'worker'; did you mean 'scanner\.workers'\?",
    ),
    "misspelt key": (
        "[scanner]\nbach = 1",
        r"there is no setting 'scanner\.bach'; did you mean 'scanner\.batch'\?",
    ),
    "wrong section": ("[scanner]\nscale = 2", r"did you mean 'recipe\.scale'\?"),
    "nothing like it": ("qqq = 1", r"no setting 'qqq'; `leaksweep config show` lists all"),
    "a section is no value": ("scanner = 3", r"it is a section, written as \[scanner\]"),
    "unknown key in a set": ("[reports.sets.x]\npdq = 2", r"there is no setting 'reports\.sets\.x\.pdq'"),
    "number out of range": ("[scanner]\nworkers = 5000", r"scanner\.workers = 5000: must be from 0 to 4096"),
    "open range": ("[recipe]\nscale = 0", r"recipe\.scale = 0: must be above 0 and at most 30"),
    "wrong type": ('[scanner]\nbatch = "x"', r"scanner\.batch = 'x': must be from 1 to 4096"),
    "no such choice": ('[recipe]\nsampler = "euler"', r"'euler': must be one of ddim, dpmpp_2m"),
    "no such preset": ('[recipe]\npreset = "x"', r"recipe\.preset = 'x': must be one of none, reference"),
    "no such hub": ('[crawler]\nsources = ["hf"]', r"crawler\.sources\.0 = 'hf'.*'huggingface' or 'civitai'"),
    "keys that disagree": (
        '[recipe]\npublished_quirks = true\nsampler = "dpmpp_2m"',
        r"leak\.toml: \[recipe\] published_quirks belongs to the ddim sampler",
    ),
    "half a ladder": ("[reports.sets.x.sscd]\nhigh = 0.9", r"reports\.sets\.x\.sscd\.low is missing"),
    "no address": ('database = "catalog.db"', "database: String should match"),
    "no TOML": ("a = ", r"leak\.toml: is no TOML: .*line 1|leak\.toml: is no TOML"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_settings_are_named(tmp_path: Path, case: str) -> None:
    text, message = WRONG[case]
    with pytest.raises(SettingsError, match=message):
        load(written(tmp_path, text))


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(written(tmp_path, "[scanner]\nworkers = -1\nbatch = 0\n"))
    assert len(str(caught.value).splitlines()) == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml: cannot be read: No such file"):
        load(tmp_path / "absent.toml")


def test_an_unknown_key_of_the_command_line_is_named() -> None:
    with pytest.raises(SettingsError, match=r"command line: there is no setting 'scaner\.batch'"):
        load(ROOT / "config.toml", {"scaner.batch": 1})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("scanner.workers=2", ("scanner.workers", 2)),
        ("recipe.scale = 2.5", ("recipe.scale", 2.5)),
        ("scanner.device=cpu", ("scanner.device", "cpu")),
        ('crawler.sources=["civitai"]', ("crawler.sources", ["civitai"])),
        ("recipe.size=none", ("recipe.size", "none")),
    ],
)
def test_overrides_are_read_as_the_file_would(text: str, expected: tuple[str, object]) -> None:
    assert parse_override(text) == expected


def test_an_override_needs_a_value() -> None:
    with pytest.raises(SettingsError, match=r"--set scanner\.workers: must be KEY=VALUE"):
        parse_override("scanner.workers")


def test_values_are_those_a_file_would_hold() -> None:
    assert values(Settings())["home"] == ".leaksweep"
    assert values(Settings()).keys() == fields().keys()


@given(
    st.recursive(
        st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    )
)
def test_what_is_written_is_read_back(value: object) -> None:
    assert tomllib.loads(f"value = {toml_value(value)}")["value"] == value


def test_what_toml_cannot_say_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot be written as TOML"):
        toml_value(object())


@pytest.mark.parametrize(
    "setting", ["database=PostgreSQL://ann:hunter2@db/x", "reports.notices.webhook_url=hooks.test/hunter2"]
)
def test_a_wrong_value_that_may_hold_a_password_is_not_repeated(tmp_path: Path, setting: str) -> None:
    key, value = parse_override(setting)
    with pytest.raises(SettingsError) as caught:
        load(written(tmp_path, ""), {key: value})
    assert str(caught.value).startswith(f"command line: {key}: ")
    assert "hunter2" not in str(caught.value)
