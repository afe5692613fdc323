"""AS, A-ESR and their intervals, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from extraction.metrics import (
    average_similarity,
    best_similarities,
    bootstrap_interval,
    extraction_success_rate,
)

REFERENCES = np.array([[1, 0], [0, 1]], np.float32)
EXTRACTED = np.array([[0.8, 0.6], [1, 0]], np.float32)


def test_each_reference_counts_its_best_extraction():
    assert best_similarities(REFERENCES, EXTRACTED).tolist() == pytest.approx([1.0, 0.6])
    assert average_similarity(REFERENCES, EXTRACTED) == pytest.approx(0.8)


@pytest.mark.parametrize(("threshold", "rate"), [(0.5, 1.0), (0.7, 0.5), (1.0, 0.0)])
def test_the_threshold_must_be_passed_not_met(threshold, rate):
    assert extraction_success_rate(REFERENCES, EXTRACTED, threshold) == rate


def test_nothing_extracted_is_a_rate_of_zero():
    assert extraction_success_rate(REFERENCES, np.zeros((0, 2), np.float32), 0.5) == 0


def test_no_training_pictures_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        average_similarity(np.zeros((0, 2), np.float32), EXTRACTED)


def test_the_interval_holds_the_mean_and_is_seeded():
    values = [0.1, 0.4, 0.2, 0.9, 0.5]
    low, high = bootstrap_interval(values)
    assert low < np.mean(values) < high
    assert bootstrap_interval(values) == (low, high)


def test_the_interval_of_one_value_is_that_value():
    assert bootstrap_interval([0.3]) == (0.3, 0.3)
    assert bootstrap_interval([0.3, 0.3]) == (0.3, 0.3)
