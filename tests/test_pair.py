"""The pair: where its tensors lie, what a swap leaves in place, and what a compiled graph survives."""

from __future__ import annotations

import pytest
import torch

from extraction.pair import Pair
from leaksweep.zoo.catalogue import WEIGHTS


def places(pair: Pair) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Address and strides of every parameter of the twin."""
    return {name: (value.data_ptr(), value.stride()) for name, value in pair.tuned_parameters.items()}


def test_convolutions_lie_channels_last_in_both_twins(zoo_pair: Pair):
    for parameters in (zoo_pair.base_parameters, zoo_pair.tuned_parameters):
        kernels = [value for value in parameters.values() if value.dim() == 4 and value.shape[-1] > 1]
        assert len(kernels) > 10
        assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


@pytest.mark.parametrize("name", ["lora-kohya", "full-file"])
def test_a_swap_in_place_keeps_addresses_and_layout(zoo_pair: Pair, name: str):
    zoo_pair.reset()
    before = places(zoo_pair)
    zoo_pair.tune(WEIGHTS / f"{name}.safetensors")
    assert places(zoo_pair) == before
    zoo_pair.reset()
    assert places(zoo_pair) == before
    assert all(
        torch.equal(value, zoo_pair.base_parameters[parameter])
        for parameter, value in zoo_pair.tuned_parameters.items()
    )
