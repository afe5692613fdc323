"""Adapter files that are broken, hostile or put together wrongly: refused with a reason, and in time."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from fakes_adapters import base_of, merged, new_model, original_of, write
from fakes_models import random_lora, random_pipeline
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from extraction.adapters import read_adapter
from extraction.adapters.parts import SUFFIXES
from extraction.extraction import LoadError
from extraction.families import load_pair
from extraction.fine_tune import open_fine_tune
from leaksweep.zoo import formats

LORA = {"wide.lora_down.weight": torch.ones(2, 16), "wide.lora_up.weight": torch.ones(24, 2)}
LOHA = {
    "wide.hada_w1_a": torch.ones(24, 2),
    "wide.hada_w1_b": torch.ones(2, 16),
    "wide.hada_w2_a": torch.ones(24, 2),
    "wide.hada_w2_b": torch.ones(2, 16),
}
TUCKER = {
    "convolution.hada_w1_a": torch.ones(2, 12),
    "convolution.hada_w1_b": torch.ones(2, 8),
    "convolution.hada_w2_a": torch.ones(2, 12),
    "convolution.hada_w2_b": torch.ones(2, 8),
    "convolution.hada_t1": torch.ones(2, 2, 3, 3),
    "convolution.hada_t2": torch.ones(2, 2, 3, 3),
}
LOKR = {"wide.lokr_w1": torch.ones(3, 4), "wide.lokr_w2": torch.ones(8, 4)}
LOKR_HALVES = {
    "wide.lokr_w1_a": torch.ones(3, 1),
    "wide.lokr_w1_b": torch.ones(1, 4),
    "wide.lokr_w2_a": torch.ones(8, 2),
    "wide.lokr_w2_b": torch.ones(2, 4),
}


def named(parts: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"lora_unet_{name}": value for name, value in parts.items()}


def refusal(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> LoadError:
    with pytest.raises(LoadError) as caught:
        merged(new_model(), path / "a.safetensors", named(tensors), metadata)
    return caught.value


@pytest.mark.parametrize("parts", [LORA, LOHA, TUCKER, LOKR, LOKR_HALVES])
def test_every_part_is_needed(tmp_path, parts):
    merged(new_model(), tmp_path / "a.safetensors", named(parts))
    for missing in parts:
        if missing != "convolution.hada_t1":
            error = refusal(tmp_path, {name: value for name, value in parts.items() if name != missing})
            assert error.reason == "does_not_fit"
            assert "other half" in str(error)


@pytest.mark.parametrize(
    ("parts", "name"),
    [(parts, name) for parts in (LORA, LOHA, TUCKER, LOKR, LOKR_HALVES) for name in parts],
)
def test_every_shape_is_checked(tmp_path, parts, name):
    for shape in ((), (7,), (5, 7), (24, 16), (1, 24), (2, 2, 2, 2), (16, 24)):
        error = refusal(tmp_path, {**parts, name: torch.ones(shape)})
        assert error.reason == "does_not_fit"
        assert "has shape" in str(error)


@pytest.mark.parametrize(
    ("extra", "reason", "said"),
    [
        ({"wide.alpha": torch.tensor(torch.nan)}, "not_finite", "alpha"),
        ({"wide.alpha": torch.tensor(-torch.inf)}, "not_finite", "alpha"),
        ({"wide.alpha": torch.tensor(-1.0)}, "unsupported_kind", "alpha"),
        ({"wide.alpha": torch.ones(2)}, "unsupported_kind", "alpha"),
        ({"wide.lora_down.weight": torch.full((2, 16), torch.nan)}, "not_finite", "lora_down"),
        ({"wide.lora_up.weight": torch.full((24, 2), torch.inf)}, "not_finite", "lora_up"),
        ({"wide.dora_scale": torch.full((24, 1), torch.nan)}, "not_finite", "dora_scale"),
        ({"wide.dora_scale": torch.ones(24, 2)}, "does_not_fit", "dora_scale"),
        ({"wide.dora_scale": torch.ones(1, 24)}, "does_not_fit", "dora_scale"),
        ({"wide.lora_magnitude_vector": torch.ones(16)}, "does_not_fit", "magnitude"),
        ({"wide.lora_magnitude_vector": torch.ones(4, 6)}, "does_not_fit", "magnitude"),
        ({"wide.diff": torch.ones(24, 16)}, "does_not_fit", "two ways"),
        ({"wide.lokr_w1": torch.ones(3, 4)}, "does_not_fit", "two ways"),
        ({"wide.diff_b": torch.ones(16)}, "does_not_fit", "diff_b"),
        ({"wide.diff_b": torch.ones(24), "wide.lora_up.bias": torch.ones(24)}, "does_not_fit", "two ways"),
        ({"wide.lora_up.weight": torch.ones(24, 2, dtype=torch.int8)}, "unsupported_kind", "whole numbers"),
        ({"wide.lora_up.weight": torch.ones(24, 2, dtype=torch.bool)}, "unsupported_kind", "whole numbers"),
        ({"square.alpha": torch.tensor(1.0)}, "does_not_fit", "other half"),
        ({"square.dora_scale": torch.ones(16, 1)}, "does_not_fit", "other half"),
        ({"wide.lora_A.weight": torch.ones(2, 16)}, "does_not_fit", "one layer twice"),
    ],
)
def test_parts_that_make_no_sense(tmp_path, extra, reason, said):
    error = refusal(tmp_path, {**LORA, **extra})
    assert error.reason == reason
    assert said in str(error)


def test_a_rank_of_zero(tmp_path):
    tensors = {**LORA, "wide.lora_down.weight": torch.ones(0, 16), "wide.lora_up.weight": torch.ones(24, 0)}
    assert refusal(tmp_path, tensors).reason == "unsafe_file"


def test_two_whole_factors_have_no_alpha(tmp_path):
    """LyCORIS writes one all the same, as large as the rank that was asked for: in fp16 it overflows."""
    model = new_model()
    _, plain = merged(model, tmp_path / "a.safetensors", named(LOKR))
    tensors = named({**LOKR, "wide.alpha": torch.tensor(torch.inf, dtype=torch.float16)})
    _, values = merged(model, tmp_path / "b.safetensors", tensors)
    assert torch.equal(values["unet.wide.weight"], plain["unet.wide.weight"])


def test_a_rank_wider_than_the_layer(tmp_path):
    model = new_model()
    down, up = torch.randn(64, 16), torch.randn(24, 64)
    tensors = named({"wide.lora_down.weight": down, "wide.lora_up.weight": up})
    _, values = merged(model, tmp_path / "a.safetensors", tensors)
    expected = base_of(model)["unet.wide.weight"] + up @ down
    torch.testing.assert_close(values["unet.wide.weight"], expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_any_floating_dtype_is_summed_in_fp32(tmp_path, dtype):
    model = new_model()
    tensors = {name: value.to(dtype) for name, value in named(LORA).items()}
    _, values = merged(model, tmp_path / "a.safetensors", tensors)
    value = values["unet.wide.weight"]
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, base_of(model)["unet.wide.weight"] + 2)


def test_a_hundredth_may_be_unused_and_is_named(tmp_path):
    model = new_model()
    large = {"square.diff": torch.ones(16, 16)}  # 256 numbers
    little = {f"somewhere{index}.alpha": torch.tensor(1.0) for index in range(2)}
    adapter, values = merged(model, tmp_path / "a.safetensors", named({**large, **little}))
    assert set(values) == {"unet.square.weight"}
    assert adapter.notes == (
        "2 tensors (0.78% of its numbers) have no place in the base: "
        "'lora_unet_somewhere0.alpha', 'lora_unet_somewhere1.alpha'",
    )
    error = refusal(tmp_path, {**large, "somewhere.diff": torch.ones(3)})
    assert error.reason == "does_not_fit"
    assert "somewhere" in str(error)
    # A change of what the base has not is as good as a name that it has not.
    assert refusal(tmp_path, {**large, "square.diff_b": torch.ones(16)}).reason == "does_not_fit"
    norm = {"norm.lora_down.weight": torch.ones(2, 8), "norm.lora_up.weight": torch.ones(8, 2)}
    assert refusal(tmp_path, {**large, **norm}).reason == "does_not_fit"


def junk(path: Path, layers: int) -> Path:
    """A file that names very many layers and holds next to nothing."""
    header, begin = {}, 0
    for layer in range(layers):
        for part in ("lora_down.weight", "lora_up.weight", "alpha"):
            header[f"lora_unet_{'x_' * 40}{layer}.{part}"] = {
                "dtype": "F16",
                "shape": [1, 1],
                "data_offsets": [begin, begin + 2],
            }
            begin += 2
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(begin))
    return path


def test_ten_thousand_layers_of_junk(tmp_path):
    path = junk(tmp_path / "junk.safetensors", 10_000)
    with pytest.raises(LoadError, match="30000 of 30000 tensors") as caught:
        open_fine_tune(path, original_of(new_model()))
    assert caught.value.reason == "does_not_fit"
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "text", ["{" * 100_000, "[]", '{"unet.r": 1e400}', '{"unet.r": 4, "unet.rank_pattern": 3}']
)
def test_a_header_that_lies_about_its_strength(tmp_path, text):
    assert refusal(tmp_path, LORA, {"lora_adapter_metadata": text}).reason == "unsupported_kind"


def test_a_config_that_says_dora_of_a_file_without_magnitudes(tmp_path):
    header = {"lora_adapter_metadata": json.dumps({"r": 2, "lora_alpha": 2, "use_dora": True})}
    error = refusal(tmp_path, LORA, header)
    assert error.reason == "does_not_fit"
    assert "magnitude" in str(error)


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(
        st.tuples(
            st.sampled_from(
                ["lora_unet_wide", "unet.convolution", "norm", "lycoris_point", "base_model.x", ""]
            ),
            st.sampled_from([*SUFFIXES, ".weight", ".oft_blocks"]),
        ),
        st.lists(st.sampled_from([1, 2, 8, 12, 16, 24]), max_size=4),
        min_size=1,
        max_size=6,
    )
)
def test_strange_files_raise_nothing_else(tmp_path_factory, file):
    path = tmp_path_factory.getbasetemp() / "strange-adapter.safetensors"
    weights = write(path, {f"{name}{suffix}": torch.ones(shape) for (name, suffix), shape in file.items()})
    model = new_model()
    with suppress(LoadError):
        for name, value in read_adapter(weights, original_of(model)).values(base_of(model)):
            assert value.shape == base_of(model)[name].shape


def test_merging_keeps_places_and_untouched_layers(tmp_path):
    """As CUDA graphs need it: the same memory, and bit for bit the base where nothing changes."""
    random_pipeline(tmp_path / "vocabulary").save_pretrained(tmp_path / "base")
    pair = load_pair(tmp_path / "base", device=torch.device("cpu"), dtype=torch.float16)
    places = {name: value.data_ptr() for name, value in pair.tuned_parameters.items()}
    name = "unet.mid_block.resnets.0.conv1"
    formats.write_kohya(tmp_path / "a.safetensors", random_lora({name: pair.original.layers[name]}))
    save_file(
        {"unet.conv_in.diff_b": torch.ones(pair.original.layers["unet.conv_in"][0])},
        tmp_path / "b.safetensors",
    )
    for file, changed in (("a", f"{name}.weight"), ("b", "unet.conv_in.bias")):
        assert pair.tune(tmp_path / f"{file}.safetensors").tensors == 1
        for parameter, value in pair.tuned_parameters.items():
            assert torch.equal(value, pair.base_parameters[parameter]) == (parameter != changed)
        assert places == {name: value.data_ptr() for name, value in pair.tuned_parameters.items()}
