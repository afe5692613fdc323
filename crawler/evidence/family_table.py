"""The families of text-to-image models, and everything hubs and training tools call them.

Sources: the base model list of Civitai's public source, the default pipelines of diffusers' single-file
loader, the architecture strings of kohya's sd-scripts and of the model metadata standard (modelspec).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """Models that share an architecture, so that one loader can speak to all of them."""

    name: str
    bases: tuple[str, ...] = ()
    """Repositories of its base models on the Hugging Face Hub, the usual one first."""
    labels: Mapping[str, str | None] | None = None
    """Civitai's `baseModel` strings, each with the base's repository where it has a certain one."""
    pipelines: tuple[str, ...] = ()
    """Class names in model_index.json."""
    kohya: tuple[str, ...] = ()
    """How `ss_base_model_version` begins."""
    modelspec: tuple[str, ...] = ()
    """How `modelspec.architecture` begins, in lower case."""
    onetrainer: tuple[str, ...] = ()
    """How OneTrainer's `model_type` begins."""
    scannable: bool = False


_SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
_SD21 = "stabilityai/stable-diffusion-2-1"
_SDXL = "stabilityai/stable-diffusion-xl-base-1.0"

FAMILIES = (
    Family(
        "sd1",
        bases=(_SD15, "CompVis/stable-diffusion-v1-4", "runwayml/stable-diffusion-v1-5"),
        labels={
            "SD 1.4": "CompVis/stable-diffusion-v1-4",
            "SD 1.5": _SD15,
            "SD 1.5 LCM": _SD15,
            "SD 1.5 Hyper": _SD15,
        },
        kohya=("sd_v1", "sd1", "sd_1"),
        modelspec=("stable-diffusion-v1",),
        onetrainer=("STABLE_DIFFUSION_15",),
        scannable=True,
    ),
    Family(
        "sd2",
        bases=(
            _SD21,
            f"{_SD21}-base",
            "stabilityai/stable-diffusion-2",
            "stabilityai/stable-diffusion-2-base",
        ),
        labels={
            "SD 2.0": "stabilityai/stable-diffusion-2-base",
            "SD 2.0 768": "stabilityai/stable-diffusion-2",
            "SD 2.1": f"{_SD21}-base",
            "SD 2.1 768": _SD21,
        },
        kohya=("sd_v2", "sd2", "sd_2"),
        modelspec=("stable-diffusion-v2",),
        onetrainer=("STABLE_DIFFUSION_2",),
        scannable=True,
    ),
    Family(
        "sd2-unclip",
        labels={"SD 2.1 Unclip": None},
        pipelines=("StableUnCLIPPipeline", "StableUnCLIPImg2ImgPipeline"),
    ),
    Family(
        "sdxl",
        bases=(_SDXL, "stabilityai/sdxl-turbo", "stabilityai/stable-diffusion-xl-base-0.9"),
        labels={
            "SDXL 0.9": "stabilityai/stable-diffusion-xl-base-0.9",
            "SDXL 1.0": _SDXL,
            "SDXL 1.0 LCM": _SDXL,
            "SDXL Lightning": _SDXL,
            "SDXL Hyper": _SDXL,
            "SDXL Distilled": _SDXL,
            "SDXL Turbo": "stabilityai/sdxl-turbo",
            "Pony": None,
            "Illustrious": None,
            "NoobAI": "Laxhar/noobai-XL-1.0",
        },
        pipelines=("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"),
        kohya=("sdxl",),
        modelspec=("stable-diffusion-xl",),
        onetrainer=("STABLE_DIFFUSION_XL",),
    ),
    Family(
        "sd3",
        bases=("stabilityai/stable-diffusion-3-medium-diffusers", "stabilityai/stable-diffusion-3.5-medium"),
        labels={
            "SD 3": "stabilityai/stable-diffusion-3-medium-diffusers",
            "SD 3.5": None,
            "SD 3.5 Medium": "stabilityai/stable-diffusion-3.5-medium",
            "SD 3.5 Large": "stabilityai/stable-diffusion-3.5-large",
            "SD 3.5 Large Turbo": "stabilityai/stable-diffusion-3.5-large-turbo",
        },
        pipelines=("StableDiffusion3Pipeline",),
        kohya=("sd3",),
        modelspec=("stable-diffusion-3",),
        onetrainer=("STABLE_DIFFUSION_3",),
    ),
    Family(
        "flux",
        bases=("black-forest-labs/FLUX.1-dev", "black-forest-labs/FLUX.1-schnell"),
        labels={
            "Flux.1 D": "black-forest-labs/FLUX.1-dev",
            "Flux.1 S": "black-forest-labs/FLUX.1-schnell",
            "Flux.1 Krea": "black-forest-labs/FLUX.1-Krea-dev",
            "Flux.1 Kontext": "black-forest-labs/FLUX.1-Kontext-dev",
        },
        pipelines=("FluxPipeline", "FluxKontextPipeline"),
        kohya=("flux1", "flux"),
        modelspec=("flux-1", "flux.1"),
        onetrainer=("FLUX_DEV_1", "FLUX_FILL_DEV_1"),
    ),
    Family(
        "flux2",
        bases=("black-forest-labs/FLUX.2-dev",),
        labels=dict.fromkeys(
            ("Flux.2 D", "Flux.2 Klein 9B", "Flux.2 Klein 9B-base", "Flux.2 Klein 4B", "Flux.2 Klein 4B-base")
        ),
        pipelines=("Flux2Pipeline", "Flux2KleinPipeline"),
        kohya=("flux2",),
        modelspec=("flux-2", "flux.2"),
    ),
    Family(
        "chroma", ("lodestones/Chroma1-HD",), {"Chroma": None}, ("ChromaPipeline",), ("chroma",), ("chroma",)
    ),
    Family("auraflow", ("fal/AuraFlow-v0.3",), {"AuraFlow": None, "Pony V7": None}, ("AuraFlowPipeline",)),
    Family(
        "lumina2",
        ("Alpha-VLLM/Lumina-Image-2.0",),
        {"Lumina": None},
        ("Lumina2Pipeline",),
        ("lumina2",),
        ("lumina-2",),
    ),
    Family(
        "qwen-image",
        ("Qwen/Qwen-Image",),
        {"Qwen": None, "Qwen 2": None, "Qwen 3": None},
        ("QwenImagePipeline",),
        ("qwen",),
    ),
    Family(
        "z-image",
        ("Tongyi-MAI/Z-Image-Turbo",),
        {"ZImageTurbo": None, "ZImageBase": None},
        ("ZImagePipeline",),
        ("zimage",),
    ),
    Family("hidream", ("HiDream-ai/HiDream-I1-Full",), {"HiDream": None}, ("HiDreamImagePipeline",)),
    Family("kolors", ("Kwai-Kolors/Kolors-diffusers",), {"Kolors": None}, ("KolorsPipeline",)),
    Family(
        "pixart", (), {"PixArt a": None, "PixArt E": None}, ("PixArtAlphaPipeline", "PixArtSigmaPipeline")
    ),
    Family("hunyuan-dit", (), {"Hunyuan 1": None}, ("HunyuanDiTPipeline",)),
    Family(
        "cascade",
        ("stabilityai/stable-cascade",),
        {"Stable Cascade": None},
        ("StableCascadeCombinedPipeline",),
    ),
    Family("playground", (), {"Playground v2": "playgroundai/playground-v2-1024px-aesthetic"}),
    Family("krea2", ("krea/Krea-2-Raw",), {"Krea 2": None}, ("Krea2Pipeline",), ("krea2",)),
    Family("anima", ("circlestone-labs/Anima",), {"Anima": None}, (), ("anima",), ("anima",)),
)

DIGESTS = {
    "6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa": _SD15,
    "1a189f0be69d6106a48548e7626207dddd7042a418dbf372cefd05e0cdba61b6": _SD15,
    "cc6cb27103417325ff94f52b7a5d2dde45a7515b25c255d8e396c90014281516": _SD15,
    "e1441589a6f3c5a53f5f54d0975a18a7feb7cdf0b0dee276dfc3331ae376a053": _SD15,
    "fe4efff1e174c627256e44ec2991ba279b3816e364b49f9be2abc0b3ff3f8556": "CompVis/stable-diffusion-v1-4",
    "dcd690123cfc64383981a31d955694f6acf2072a80537fdb612c8e58ec87a8ac": _SD21,
    "88ecb782561455673c4b78d05093494b9c539fc6bfc08f3a9a4a0dd7b0b10f36": f"{_SD21}-base",
}
"""SHA-256 of the bases' single files, as training tools record them."""

FILE_NAMES = {
    "v1-5-pruned-emaonly": _SD15,
    "v1-5-pruned": _SD15,
    "sd-v1-4": "CompVis/stable-diffusion-v1-4",
    "v2-1_768-ema-pruned": _SD21,
    "v2-1_512-ema-pruned": f"{_SD21}-base",
    "sd_xl_base_1.0": _SDXL,
    "sd_xl_base_0.9": "stabilityai/stable-diffusion-xl-base-0.9",
}
"""Names of the bases' single files, without their extension."""
