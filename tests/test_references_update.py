"""Newer lists, and references that are withdrawn: by people, and by the list itself."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fakes_references import codes, csv_list, open_references, plain_list

from crawler.catalog.engine import open_engine
from reports.finding import ReportError
from reports.references.withdrawals import Withdrawals

A, B, C, D = codes(4)
FIRST, THEN = datetime(2026, 11, 24, tzinfo=UTC), datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
def references(tmp_path):
    return open_references(tmp_path)


@pytest.fixture
def listed(tmp_path):
    """Write a list with ids: one=A, ..."""

    def write(**entries):
        rows = [{"value": code.hex(), "ref_id": name} for name, code in entries.items()]
        return csv_list(tmp_path / "list.csv", *rows)

    return write


def stands(references, name="partner"):
    """What is looked for, and who withdrew what."""
    (index,) = references.load([name])
    found = dict(zip(index.ref_ids.to_pylist(), [row.tobytes() for row in index.pdq.words], strict=True))
    return found, {ref_id: one.who for (_, ref_id), one in references.withdrawn().items()}


def test_a_withdrawn_reference_is_left_out_of_the_next_load(references, listed):
    references.add_list("partner", listed(one=A, two=B))
    done = references.withdraw("partner", "one", "mira", "the owner asked")
    assert (done.who, done.why, done.ref_id) == ("mira", "the owner asked", "one")
    assert references.withdrawn() == {("partner", "one"): done}
    assert stands(references)[0] == {"two": B}
    references.restore("partner", "one")
    assert stands(references) == ({"one": A, "two": B}, {})


def test_only_what_is_there_can_be_withdrawn_and_restored(references, listed):
    references.add_list("partner", listed(one=A))
    with pytest.raises(ReportError, match='"partner" has no reference "none"'):
        references.withdraw("partner", "none", "mira", "")
    with pytest.raises(ReportError, match='"other" does not exist'):
        references.withdraw("other", "one", "mira", "")
    with pytest.raises(ReportError, match="is not withdrawn"):
        references.restore("partner", "one")


def test_an_update_puts_the_newer_list_in_place(references, listed, tmp_path):
    references.add_list("partner", listed(one=A, two=B, three=C), now=FIRST)
    new = references.update("partner", listed(two=B, four=D), now=THEN)
    assert (new.edition, new.entries, new.added_at) == (2, 2, THEN)
    assert references.sets() == (new,)
    assert stands(references) == (
        {"two": B, "four": D},
        {"one": "list partner", "three": "list partner"},
    )
    gone = references.withdrawn()["partner", "one"]
    assert (gone.at, gone.why) == ("2026-11-25T00:00:00+00:00", "its list has it no longer")
    # The older blocks are dropped.
    assert len(list((tmp_path / "lance").glob("reference_blocks*"))) == 1


def test_what_a_list_has_again_comes_back_but_not_what_a_person_withdrew(references, listed):
    references.add_list("partner", listed(one=A, two=B, three=C))
    references.withdraw("partner", "one", "mira", "")
    references.update("partner", listed(three=C))
    assert stands(references) == ({"three": C}, {"one": "mira", "two": "list partner"})
    with pytest.raises(ReportError, match="withdrawn by its list"):
        references.restore("partner", "two")
    references.update("partner", listed(one=A, two=B, three=C))
    assert stands(references) == ({"two": B, "three": C}, {"one": "mira"})
    references.update("partner", listed(three=C))
    assert stands(references) == ({"three": C}, {"one": "mira", "two": "list partner"})


def test_a_corrected_hash_of_a_reference_is_no_withdrawal(references, listed):
    references.add_list("partner", listed(one=A, two=B))
    references.update("partner", listed(one=C, two=B))
    assert stands(references) == ({"one": C, "two": B}, {})


def test_entries_without_ids_are_known_again_by_their_hash(references, tmp_path):
    path = tmp_path / "list.txt"
    references.add_list("partner", plain_list(path, [A, B, C]))
    references.withdraw("partner", "2", "mira", "")
    # A new line at the top moves all numbers, and no reference.
    references.update("partner", plain_list(path, [D, A, B, C]))
    assert stands(references) == ({"1@2": D, "1": A, "3": C}, {"2": "mira"})
    references.update("partner", plain_list(path, [C, D]))
    assert stands(references) == ({"3": C, "1@2": D}, {"2": "mira", "1": "list partner"})


def test_tombstones_withdraw_wherever_they_stand(references, tmp_path):
    def ncmec(*elements):
        path = tmp_path / "list.xml"
        path.write_text(f"<queryResult><images>{''.join(elements)}</images></queryResult>")
        return path

    def image(name, code):
        return (
            f'<image><member id="7">M</member><id>{name}</id><fingerprints><pdq>{code.hex()}</pdq>'
            "</fingerprints></image>"
        )

    def deleted(name):
        return f'<deletedImage><member id="7">M</member><id>{name}</id></deletedImage>'

    added = references.add_list("ncmec", ncmec(image("one", A), image("two", B), deleted("one")))
    assert (added.tombstones, added.entries) == (1, 1)
    assert stands(references, "ncmec") == ({"7-two": B}, {})
    references.update("ncmec", ncmec(deleted("two"), image("two", B), image("three", C)))
    found, withdrawn = stands(references, "ncmec")
    assert found == {"7-three": C}
    assert withdrawn["7-two"] == "list ncmec"


def test_a_newer_list_that_is_malformed_changes_nothing(references, listed, tmp_path):
    old = references.add_list("partner", listed(one=A, two=B))
    bad = tmp_path / "bad.csv"
    bad.write_text(f"value,ref_id\n{C.hex()},one\nxyz,two\n")
    with pytest.raises(ReportError, match="line 3"):
        references.update("partner", bad)
    assert references.sets() == (old,)
    assert stands(references) == ({"one": A, "two": B}, {})


def test_only_lists_can_be_updated(references, listed, tmp_path):
    with pytest.raises(ReportError, match='"partner" does not exist'):
        references.update("partner", listed(one=A))


class Killed(BaseException):
    pass


def _kill(*args, **fields):
    raise Killed


@pytest.mark.parametrize("where", ["reading", "withdrawing", "committing", "dropping"])
def test_an_update_that_is_killed_loses_nothing_and_can_be_done_again(listed, tmp_path, monkeypatch, where):
    references = open_references(tmp_path)
    references.add_list("partner", listed(one=A, two=B))
    with monkeypatch.context() as patched:
        if where == "withdrawing":
            patched.setattr("reports.references.withdrawals.upsert", _kill)
        elif where == "committing":
            patched.setattr("reports.references.sets.replace", _kill)
        elif where == "dropping":
            # The first time, nothing has to be dropped yet.
            acts = iter([lambda *args: None, _kill])
            patched.setattr("reports.references.sealed_store.drop_tables", lambda *args: next(acts)(*args))
        progress = _kill if where == "reading" else None
        with pytest.raises(Killed):
            references.update("partner", listed(two=B, three=C), progress=progress)
    again = open_references(tmp_path)
    after = ({"two": B, "three": C}, {"one": "list partner"})
    assert stands(again) == (after if where == "dropping" else ({"one": A, "two": B}, {}))
    again.update("partner", listed(two=B, three=C))
    assert stands(again) == after
    assert len(list((tmp_path / "lance").glob("reference_blocks*"))) == 1


def test_a_set_that_was_removed_and_added_again_keeps_only_what_people_withdrew(references, listed):
    references.add_list("partner", listed(one=A, two=B, three=C))
    references.update("partner", listed(one=A, two=B))
    references.withdraw("partner", "one", "mira", "")
    references.remove("partner")
    assert {ref_id for _, ref_id in references.withdrawn()} == {"one"}
    references.add_list("partner", listed(one=A, two=B, three=C))
    assert stands(references) == ({"two": B, "three": C}, {"one": "mira"})


def test_withdrawals_of_many_references_at_once(tmp_path):
    withdrawals = Withdrawals(open_engine(f"sqlite:///{tmp_path / 'home.db'}"))
    gone = [(f"r{number}", "gone") for number in range(2500)]
    withdrawals.prepare("partner", 2, gone=gone, back=lambda ids: [], at=FIRST)
    assert withdrawals.all({"partner": 1}) == {}
    assert len(withdrawals.all({"partner": 2})) == 2500
    some = {f"r{number}" for number in range(0, 2500, 2)}
    withdrawals.prepare("partner", 3, gone=[], back=lambda ids: [one for one in ids if one in some], at=THEN)
    assert len(withdrawals.all({"partner": 2})) == 2500
    assert len(withdrawals.all({"partner": 3})) == 1250
    assert withdrawals.all({}) == {}
