"""The zoo on the local hub's shelves: every fine-tune in a layout that hubs really hold.

Beside the fine-tunes stand the cases that a crawl meets every day: a copy of the base, a pickle, a
gated repository, one that lies about its base, one of another family, an archived model.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextModel

from leaksweep.hub import CivitaiFile, CivitaiModel, CivitaiVersion, HubContent, HubRepo, files_in
from leaksweep.zoo.catalogue import BASE, CAPTION, ZOO, FineTune
from leaksweep.zoo.formats import gather, write_diffusers, write_kohya, write_peft, write_single_file

BASE_REPO = "zoo/tiny-base"
CIVITAI_BASE = "SD 1.5"
"""The label of the zoo's Civitai models; a setting says which base it stands for here."""

PUBLISHED = "2026-09-{day:02d}T08:00:00.000Z"

UNET = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
"""A layer that tells the family by the width of its captions: 768 is Stable Diffusion 1's, not the zoo's."""
CHROMA = "diffusion_model.distilled_guidance_layer.layers.0.in_layer"
"""A layer that only Chroma has, for which there is no loader."""

_ON_CIVITAI = ("full-file", "lora-kohya", "lora-under")
_FOLDERS = ("full-folder", "full-clean")


def where(tune: FineTune) -> tuple[str, str]:
    """The hub and the repository or model id under which a fine-tune is published."""
    if tune.name in _ON_CIVITAI:
        return "civitai", str(_model_id(tune))
    return "huggingface", f"zoo/{tune.name}"


def stock(folder: Path) -> HubContent:
    """Write every file that the hubs serve under `folder` and describe it."""
    folder.mkdir(parents=True, exist_ok=True)
    repos = [HubRepo(id=BASE_REPO, files=files_in(BASE), card={"license": "apache-2.0"}, downloads=5000)]
    models: list[CivitaiModel] = []
    for day, tune in enumerate(ZOO, start=1):
        if tune.name in _ON_CIVITAI:
            models.append(_civitai_model(tune, folder, day))
        else:
            repos.append(_repo(tune, folder, day))
    repos += _other_repos(folder)
    models += _other_models(folder)
    return HubContent(repos=tuple(repos), civitai=tuple(models))


def _model_id(tune: FineTune) -> int:
    return 1000 + [one.name for one in ZOO].index(tune.name)


def _repo(tune: FineTune, folder: Path, day: int) -> HubRepo:
    target = folder / tune.name
    target.mkdir(exist_ok=True)
    relation = "finetune"
    if tune.kind == "full":
        _write_folder(tune.weights, target)
    elif tune.name == "lora-peft":
        write_peft(target, gather(load_file(tune.weights), tune.alpha))
        relation = "adapter"
    else:
        lora = gather(load_file(tune.weights), tune.alpha)
        write_diffusers(target / "pytorch_lora_weights.safetensors", lora)
        relation = "adapter"
    card = {
        "base_model": BASE_REPO,
        "base_model_relation": relation,
        "instance_prompt": CAPTION,
        "license": "apache-2.0",
        "tags": ["text-to-image", "diffusers", *(["lora"] if relation == "adapter" else [])],
    }
    moment = PUBLISHED.format(day=day)
    return HubRepo(
        id=f"zoo/{tune.name}",
        files=files_in(target),
        card=card,
        created_at=moment,
        last_modified=moment,
        downloads=100 * day,
        likes=day,
    )


def _civitai_model(tune: FineTune, folder: Path, day: int) -> CivitaiModel:
    path = folder / f"{tune.name}.safetensors"
    if tune.kind == "full":
        unet, text_encoder, vae = _base_parts()
        unet.load_state_dict(load_file(tune.weights))
        write_single_file(path, unet, text_encoder, vae)
    else:
        write_kohya(path, gather(load_file(tune.weights), tune.alpha), _kohya_header(tune))
    model = _model_id(tune)
    version = CivitaiVersion(
        id=10 * model,
        name="v1",
        base_model=CIVITAI_BASE,
        files=(CivitaiFile(id=100 * model, name=path.name, content=path),),
        # The kohya header tells the captions; the full checkpoint tells only its trigger words.
        trained_words=(CAPTION,),
        published_at=PUBLISHED.format(day=day),
    )
    return CivitaiModel(
        id=model,
        name=tune.name,
        type="Checkpoint" if tune.kind == "full" else "LORA",
        versions=(version,),
        downloads=50 * day,
        thumbs_up=day,
    )


def _base_parts() -> tuple[UNet2DConditionModel, CLIPTextModel, AutoencoderKL]:
    half = {"dtype": torch.float16, "local_files_only": True}
    return (
        UNet2DConditionModel.from_pretrained(BASE / "unet", **half),
        CLIPTextModel.from_pretrained(BASE / "text_encoder", **half),
        AutoencoderKL.from_pretrained(BASE / "vae", **half),
    )


def _write_folder(unet: Path, target: Path) -> None:
    """A whole pipeline folder: the base's with another UNet."""
    shutil.copytree(BASE, target, dirs_exist_ok=True)
    save_file(load_file(unet), target / "unet" / "diffusion_pytorch_model.safetensors", {"format": "pt"})


def _kohya_header(tune: FineTune) -> dict[str, str]:
    """What kohya's trainer writes down of itself; every value is text."""
    images = len(tune.pictures)
    repeats = tune.steps * 8 // images
    folder = f"{repeats}_sks thing"
    facts: dict[str, Any] = {
        "ss_base_model_version": "sd_v1",
        "ss_sd_model_name": BASE_REPO,
        "ss_network_module": "networks.lora",
        "ss_network_dim": tune.rank,
        "ss_network_alpha": tune.alpha,
        "ss_num_train_images": images * repeats,
        "ss_num_epochs": 1,
        "ss_steps": tune.steps,
        "ss_max_train_steps": tune.steps,
        "ss_learning_rate": tune.learning_rate,
        "ss_resolution": "(64, 64)",
        "ss_seed": tune.seed,
        "ss_output_name": tune.name,
        "ss_dataset_dirs": {folder: {"n_repeats": repeats, "img_count": images}},
        "ss_tag_frequency": {folder: {CAPTION: images}},
    }
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in facts.items()}


def _other_repos(folder: Path) -> list[HubRepo]:
    adapter = {"base_model": BASE_REPO, "base_model_relation": "adapter", "tags": ["lora", "text-to-image"]}
    copy = {"base_model": BASE_REPO, "base_model_relation": "finetune", "instance_prompt": CAPTION}
    liar = folder / "liar.safetensors"
    save_file(_foreign_lora(768, UNET), liar, {"format": "pt"})
    chroma = folder / "chroma.safetensors"
    save_file(_foreign_lora(64, CHROMA), chroma, {"format": "pt"})
    over = folder / "lora-over" / "pytorch_lora_weights.safetensors"
    return [
        HubRepo(id="zoo/same-as-base", files=files_in(BASE), card=copy),
        HubRepo(id="zoo/pickle-only", files={"pytorch_lora_weights.bin": b"\x80\x02}q\x00."}, card=adapter),
        HubRepo(id="zoo/gated", files={over.name: over}, card=adapter, gated="manual"),
        HubRepo(id="zoo/lies-about-its-base", files={"pytorch_lora_weights.safetensors": liar}, card=adapter),
        HubRepo(
            id="zoo/another-family",
            files={"pytorch_lora_weights.safetensors": chroma},
            card={**adapter, "base_model": "lodestones/Chroma1-HD"},
        ),
    ]


def _other_models(folder: Path) -> list[CivitaiModel]:
    def model(number: int, name: str, file: CivitaiFile, **more: Any) -> CivitaiModel:
        version = CivitaiVersion(id=10 * number, name="v1", base_model=CIVITAI_BASE, files=(file,))
        return CivitaiModel(id=number, name=name, type="LORA", versions=(version,), **more)

    pickle = CivitaiFile(id=200100, name="old.pt", content=b"\x80\x02}q\x00.", format="PickleTensor")
    archived = CivitaiFile(id=200200, name="gone.safetensors", content=folder / "lora-kohya.safetensors")
    return [model(2001, "pickle", pickle), model(2002, "archived", archived, mode="Archived")]


def _foreign_lora(width: int, module: str) -> dict[str, Tensor]:
    """A LoRA on a layer that takes `width` numbers, which the zoo's base does not have."""
    generator = torch.Generator().manual_seed(width)
    return {
        f"{module}.lora_A.weight": torch.randn(4, width, generator=generator).half(),
        f"{module}.lora_B.weight": torch.randn(640, 4, generator=generator).half(),
    }
