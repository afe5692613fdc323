"""Every form of adapter merged as LyCORIS and peft merge it, to 1e-5 of the weight."""

from __future__ import annotations

import json

import pytest
import torch
from fakes_adapters import LAYERS, base_of, merged, new_model
from hypothesis import given, settings
from hypothesis import strategies as st
from lycoris.functional import loha as lycoris_loha
from lycoris.functional import lokr as lycoris_lokr
from lycoris.functional import weight_decompose
from lycoris.modules.full import FullModule
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from lycoris.modules.norms import NormModule
from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model, get_peft_model_state_dict
from torch import Tensor, nn

from extraction.adapters import dora


def assert_same(ours: Tensor, theirs: Tensor, base: Tensor) -> None:
    """The changes agree, not only the changed weights."""
    delta = theirs.detach() - base
    assert float((ours - base - delta).norm() / delta.norm()) < 1e-5


def fill(module: nn.Module) -> None:
    """Random numbers in place of a fresh adapter's zeros."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in module.named_parameters():
        if "org_module" not in name and "dora_scale" not in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    scale = getattr(module, "dora_scale", None)
    if scale is not None:
        scale.data.mul_(0.5 + torch.rand(scale.shape, generator=generator))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("on_output", [None, True, False], ids=["plain", "dora by output", "dora by input"])
@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        (LoConModule, {"alpha": 3}),
        (LoConModule, {"alpha": 3, "use_tucker": True}),
        (LoConModule, {"alpha": 3, "rs_lora": True}),
        # LyCORIS applies the scale of these two twice, other readers once; at alpha = rank it is 1.
        (LohaModule, {"alpha": 4}),
        (LohaModule, {"alpha": 4, "use_tucker": True}),
        (LokrModule, {"alpha": 2, "lora_dim": 2, "factor": 2}),
        (LokrModule, {"alpha": 2, "lora_dim": 2, "factor": 2, "use_tucker": True}),
        (LokrModule, {"alpha": 1, "lora_dim": 1, "factor": 4, "decompose_both": True}),
        (LokrModule, {"alpha": 7, "factor": 4, "full_matrix": True}),
    ],
    ids=["lora", "cp", "rs", "loha", "loha tucker", "lokr", "lokr tucker", "lokr both", "lokr whole"],
)
def test_lycoris_own_merge(tmp_path, algorithm, options, on_output, layer):
    model = new_model()
    chosen = {"lora_dim": 4, **options}
    if on_output is not None:
        chosen |= {"weight_decompose": True, "wd_on_out": on_output}
    theirs = algorithm("x", model[layer], **chosen)
    fill(theirs)
    tensors = {f"lora_unet_{layer}.{part}": value for part, value in theirs.custom_state_dict().items()}
    adapter, values = merged(model, tmp_path / "a.safetensors", tensors)
    assert values.keys() == {f"unet.{layer}.weight"}
    reference, _ = theirs.get_merged_weight(shape=model[layer].weight.shape)
    assert_same(values[f"unet.{layer}.weight"], reference, model[layer].weight.data)
    kind = {LoConModule: "lora", LohaModule: "loha", LokrModule: "lokr"}[algorithm]
    assert (adapter.kind, adapter.layout) == ("dora" if on_output is not None else kind, "kohya")


def test_full_differences_and_norms(tmp_path):
    model = new_model()
    tensors, expected = {}, {}
    for name, algorithm in (("wide", FullModule), ("convolution", FullModule), ("norm", NormModule)):
        theirs = algorithm("x", model[name])
        fill(theirs)
        parts = theirs.state_dict() if algorithm is NormModule else theirs.custom_state_dict()
        if algorithm is FullModule:
            parts = {"diff": theirs.weight, "diff_b": theirs.bias}
        tensors |= {f"lycoris_{name}.{part}": value for part, value in parts.items()}
        weight, bias = theirs.get_merged_weight()
        expected |= {f"unet.{name}.weight": weight, f"unet.{name}.bias": bias}
    adapter, values = merged(model, tmp_path / "a.safetensors", tensors)
    assert values.keys() == expected.keys()
    for name, value in values.items():
        assert_same(value, expected[name], base_of(model)[name])
    assert adapter.kind == "difference"


@pytest.mark.parametrize("alpha", [1.0, 8.0])
def test_scales_of_loha_and_lokr(tmp_path, alpha):
    model, base = new_model(), base_of(new_model())
    torch.manual_seed(2)
    ha = [torch.randn(24, 4), torch.randn(4, 16), torch.randn(24, 4), torch.randn(4, 16)]
    kr = [torch.randn(3, 4), torch.randn(8, 2), torch.randn(2, 4)]
    names = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
    loha = {f"unet.wide.{name}": value for name, value in zip(names, ha, strict=True)}
    lokr = dict(zip(("unet.wide.lokr_w1", "unet.wide.lokr_w2_a", "unet.wide.lokr_w2_b"), kr, strict=True))
    scale = {"unet.wide.alpha": torch.tensor(alpha)}
    _, values = merged(model, tmp_path / "loha.safetensors", loha | scale)
    theirs = lycoris_loha.diff_weight(ha[1], ha[0], ha[3], ha[2], None, None, gamma=torch.tensor(alpha / 4))
    assert_same(values["unet.wide.weight"], base["unet.wide.weight"] + theirs, base["unet.wide.weight"])
    _, values = merged(model, tmp_path / "lokr.safetensors", lokr | scale)
    theirs = lycoris_lokr.kron_weight(kr[0], None, None, None, kr[1], kr[2], scale=alpha / 2)
    assert_same(values["unet.wide.weight"], base["unet.wide.weight"] + theirs, base["unet.wide.weight"])


PEFT = {
    "lora": LoraConfig(r=4, lora_alpha=6, init_lora_weights=False),
    "rank-stabilised": LoraConfig(r=4, lora_alpha=6, init_lora_weights=False, use_rslora=True),
    "biased": LoraConfig(r=4, lora_alpha=6, init_lora_weights=False, lora_bias=True),
    "dora": LoraConfig(r=4, lora_alpha=6, init_lora_weights=False, use_dora=True),
    "patterns": LoraConfig(
        r=4, lora_alpha=6, init_lora_weights=False, rank_pattern={"wide": 3}, alpha_pattern={"point": 9}
    ),
    "wider than the layer": LoraConfig(r=40, lora_alpha=6, init_lora_weights=False),
    "loha": LoHaConfig(r=4, alpha=6, init_weights=False),
    "loha tucker": LoHaConfig(r=4, alpha=6, init_weights=False, use_effective_conv2d=True),
    "lokr": LoKrConfig(r=1, alpha=6, init_weights=False, decompose_factor=2),
    "lokr both": LoKrConfig(r=1, alpha=6, init_weights=False, decompose_both=True, decompose_factor=4),
    "lokr tucker": LoKrConfig(
        r=1, alpha=6, init_weights=False, use_effective_conv2d=True, decompose_factor=2
    ),
    "lokr whole": LoKrConfig(r=64, alpha=6, init_weights=False),
}


@pytest.mark.parametrize("name", PEFT)
@pytest.mark.filterwarnings("ignore:.*LoRA tensor.s. have invalid shape")  # of its own biases
def test_pefts_own_merge(tmp_path, name):
    """With the config in the header, as diffusers writes it, prefixed and not."""
    model, config = new_model(), PEFT[name]
    config.target_modules = ["wide", "convolution", "point"]
    wrapped = get_peft_model(new_model(), config)
    if name == "biased":
        for key, parameter in wrapped.named_parameters():
            if key.endswith("lora_B.default.bias"):
                nn.init.normal_(parameter)
    if name == "dora":
        for key, parameter in wrapped.named_parameters():
            if "magnitude" in key:
                parameter.data.mul_(0.5 + torch.rand(parameter.shape))
    tensors = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    fields = {key: value for key, value in config.to_dict().items() if not isinstance(value, set)}
    fields["peft_type"] = fields["peft_type"].value
    reference = base_of(wrapped.merge_and_unload())
    for prefix in ("", "unet."):
        header = {f"{prefix}{key}": value for key, value in fields.items()}
        adapter, values = merged(
            model,
            tmp_path / "a.safetensors",
            tensors,
            {"lora_adapter_metadata": json.dumps(header, default=str)},
        )
        assert len(values) == (6 if name == "biased" else 3)
        for key, value in values.items():
            assert_same(value, reference[key], base_of(model)[key])
        assert adapter.layout == "peft"


def test_a_change_of_several_forms(tmp_path):
    model = new_model()
    tensors = {
        "lora_unet_wide.lora_down.weight": torch.ones(2, 16),
        "lora_unet_wide.lora_up.weight": torch.ones(24, 2),
        "lora_unet_wide.diff_b": torch.ones(24),
        "lora_unet_square.diff": torch.ones(16, 16),
        "lora_unet_norm.b_norm": torch.ones(8),
    }
    adapter, values = merged(model, tmp_path / "a.safetensors", tensors)
    assert set(values) == {"unet.wide.weight", "unet.wide.bias", "unet.square.weight", "unet.norm.bias"}
    base = base_of(model)
    torch.testing.assert_close(values["unet.wide.bias"], base["unet.wide.bias"] + 1)
    torch.testing.assert_close(values["unet.norm.bias"], base["unet.norm.bias"] + 1)
    torch.testing.assert_close(values["unet.wide.weight"], base["unet.wide.weight"] + 2)
    assert adapter.notes == ()


def test_the_change_of_one_layer_and_its_factors(tmp_path):
    model, base = new_model(), base_of(new_model())
    tensors = {
        "lora_unet_wide.lora_down.weight": torch.randn(2, 16),
        "lora_unet_wide.lora_up.weight": torch.randn(24, 2),
        "lora_unet_wide.alpha": torch.tensor(3.0),
        "lora_unet_square.diff": torch.ones(16, 16),
    }
    adapter, values = merged(model, tmp_path / "a.safetensors", tensors)
    delta = adapter.delta("unet.wide", base)
    assert delta.dtype == torch.float32
    assert torch.equal(base["unet.wide.weight"] + delta, values["unet.wide.weight"])
    up, down = adapter.factors("unet.wide", base)
    torch.testing.assert_close(up @ down, delta)
    assert adapter.factors("unet.square", base) is None
    assert adapter.delta("unet.point", base) is None


@settings(deadline=None, max_examples=30)
@given(
    out=st.integers(1, 9),
    into=st.integers(1, 9),
    kernel=st.sampled_from([(), (1, 1), (3, 3)]),
    along=st.sampled_from([0, 1]),
    seed=st.integers(0, 99),
)
def test_magnitudes_are_the_norms_afterwards(out, into, kernel, along, seed):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn((out, into, *kernel), generator=generator)
    magnitude = torch.rand((out, into)[along], generator=generator) + 0.1
    brought = dora.decompose(weight, magnitude, along)
    norms = brought.transpose(0, along).flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, magnitude)
    shape = [1] * weight.dim()
    shape[along] = -1
    theirs = weight_decompose(weight, magnitude.reshape(shape), 1, along == 0)
    torch.testing.assert_close(brought, theirs, atol=1e-5, rtol=1e-5)


def test_a_row_of_zeros_stays_zeros():
    assert torch.equal(dora.decompose(torch.zeros(2, 3), torch.ones(2, 1), 0), torch.zeros(2, 3))
