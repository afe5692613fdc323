"""What was seen before, of many things, agrees with a dictionary."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.references.digests import Digests, digest

_KEY = st.one_of(
    st.binary(min_size=16, max_size=16),
    # Zero bytes at the end, which numpy's strings drop, and few values, which meet again.
    st.integers(0, 50).map(lambda number: number.to_bytes(2, "big") + bytes(14)),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(_KEY, max_size=20), max_size=10), st.lists(_KEY, max_size=20))
def test_digests_find_what_was_added(batches, others):
    known, digests = {}, Digests()
    for batch in batches:
        new = [key for key in dict.fromkeys(batch) if key not in known]
        numbers = [len(known) + place for place in range(len(new))]
        digests.add(new, np.array(numbers, np.int64))
        known |= dict(zip(new, numbers, strict=True))
    asked = [*known, *others]
    assert digests.find(asked).tolist() == [known.get(key, -1) for key in asked]
    assert len(digests) == len(known)


def test_numbers_up_to_four_billion_are_kept():
    digests = Digests()
    digests.add([bytes(16)], np.array([2**32 - 1], np.int64))
    assert digests.find([bytes(16), b"\1" * 16]).tolist() == [2**32 - 1, -1]


def test_kinds_do_not_meet():
    assert digest("pdq", b"a") != digest("phash256", b"a")
    assert len(digest("pdq", b"a")) == 16
