"""Hash lists: what is read, what is refused, and that no message gives a hash away."""

from __future__ import annotations

import random

import pytest

from reports.finding import ReportError
from reports.references.hash_lists import read_hash_list

PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
PHASH = "9b6cd3a40f2e71d8"


@pytest.fixture
def listed(tmp_path):
    def write(content: str | bytes):
        path = tmp_path / "list.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_both_kinds_with_and_without_a_prefix(listed):
    found = read_hash_list(
        listed(f"# from a partner\n\npdq {PDQ}\n  {PHASH.upper()}  \r\nPHASH 00ff00ff00ff00ff\n")
    )
    assert [(one.line, one.algorithm, one.code.hex()) for one in found.hashes] == [
        (3, "pdq", PDQ),
        (4, "phash", PHASH),
        (5, "phash", "00ff00ff00ff00ff"),
    ]
    assert (found.duplicates, found.implausible) == (0, ())


def test_a_byte_order_mark_is_no_digit(listed):
    assert len(read_hash_list(listed(b"\xef\xbb\xbf" + PHASH.encode())).hashes) == 1


def test_duplicates_are_counted_and_the_first_line_stays(listed):
    found = read_hash_list(listed(f"{PDQ}\npdq {PDQ.upper()}\n{PHASH}\n{PDQ}\n"))
    assert [one.line for one in found.hashes] == [1, 3]
    assert found.duplicates == 2


def test_zeros_and_ones_are_left_out_by_line(listed):
    found = read_hash_list(listed(f"{'0' * 64}\n{PDQ}\n{'f' * 16}\n{'0' * 63}1\n"))
    assert [one.line for one in found.hashes] == [2]
    assert found.implausible == (1, 3, 4)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (PDQ[:-1], "63 digits"),
        (PDQ + "00", "66 digits"),
        (PDQ[:32], "perhaps MD5"),
        (PDQ[:40], "perhaps SHA-1"),
        (PDQ * 2, "perhaps SHA-512"),
        (PDQ[:10] + "g" + PDQ[11:], "character 11"),
        (PDQ + ",csam", "character 65"),
        ("0x" + PHASH, "character 2"),
        (f"md5 {PDQ[:32]}", 'only "phash" or "pdq"'),
        (f"{PDQ} {PDQ}", 'only "phash" or "pdq"'),
        (f"phash {PDQ}", "says phash"),
        (f"pdq {PHASH}", "says pdq"),
        ("pdq", "character 1"),
    ],
)
def test_a_bad_line_is_named_and_its_digits_are_not(listed, line, reason):
    with pytest.raises(ReportError, match="line 3") as caught:
        read_hash_list(listed(f"# list\n{PHASH}\n{line}\n{PDQ}\n"))
    message = str(caught.value)
    assert reason in message
    assert "; " in message
    assert not any(PDQ[start : start + 6] in message for start in range(len(PDQ) - 6))
    assert PHASH[:6] not in message


@pytest.mark.parametrize("content", ["", "\n\n", "# only a remark\n"])
def test_an_empty_list_is_an_error(listed, content):
    with pytest.raises(ReportError, match="holds no hash"):
        read_hash_list(listed(content))


def test_a_list_of_nothing_but_zeros_is_an_error(listed):
    with pytest.raises(ReportError, match="none of its 2 hashes"):
        read_hash_list(listed("0" * 64 + "\n" + "0" * 16))


def test_a_file_that_is_no_text(listed):
    with pytest.raises(ReportError, match="UTF-8"):
        read_hash_list(listed(PHASH.encode("utf-16")))


def test_a_missing_file(tmp_path):
    with pytest.raises(ReportError, match="cannot be read"):
        read_hash_list(tmp_path / "none.txt")


def test_a_long_list(listed):
    rng = random.Random(0)
    values = [rng.randbytes(32).hex() for _ in range(20_000)]
    assert len(read_hash_list(listed("\n".join(values))).hashes) == 20_000
