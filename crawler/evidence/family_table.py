"""The families of text-to-image models that the scanner speaks, and the table of all families.

Sources: the base model list of Civitai's public source, the default pipelines of diffusers' single-file
loader, the architecture strings of kohya's sd-scripts, of OneTrainer and ai-toolkit, and of the model
metadata standard (modelspec).
"""

from __future__ import annotations

from crawler.evidence.family import Family
from crawler.evidence.other_families import IMAGES
from crawler.evidence.video_families import ELSE, MOTION

_SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
_SD21 = "stabilityai/stable-diffusion-2-1"
_SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
_SD35 = "stabilityai/stable-diffusion-3.5"
_FLUX = "black-forest-labs/FLUX.1"

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
        scannable=True,
    ),
    Family(
        "sd3",
        bases=(
            "stabilityai/stable-diffusion-3-medium-diffusers",
            f"{_SD35}-medium",
            f"{_SD35}-large",
            f"{_SD35}-large-turbo",
        ),
        labels={
            "SD 3": "stabilityai/stable-diffusion-3-medium-diffusers",
            "SD 3.5": None,
            "SD 3.5 Medium": f"{_SD35}-medium",
            "SD 3.5 Large": f"{_SD35}-large",
            "SD 3.5 Large Turbo": f"{_SD35}-large-turbo",
        },
        pipelines=("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline"),
        denoisers=("SD3Transformer2DModel",),
        kohya=("sd3",),
        modelspec=("stable-diffusion-3",),
        onetrainer=("STABLE_DIFFUSION_3",),
        scannable=True,
    ),
    Family(
        "flux",
        bases=(f"{_FLUX}-dev", f"{_FLUX}-schnell"),
        labels={
            "Flux.1 D": f"{_FLUX}-dev",
            "Flux.1 S": f"{_FLUX}-schnell",
            "Flux.1 Krea": f"{_FLUX}-Krea-dev",
            "Flux.1 Kontext": f"{_FLUX}-Kontext-dev",
        },
        pipelines=("FluxPipeline", "FluxImg2ImgPipeline", "FluxKontextPipeline"),
        denoisers=("FluxTransformer2DModel",),
        kohya=("flux1", "flux"),
        modelspec=("flux-1", "flux.1"),
        onetrainer=("FLUX_DEV_1",),
        scannable=True,
    ),
    Family(
        "qwen-image",
        bases=("Qwen/Qwen-Image",),
        labels={"Qwen": "Qwen/Qwen-Image"},
        pipelines=("QwenImagePipeline", "QwenImageImg2ImgPipeline"),
        denoisers=("QwenImageTransformer2DModel",),
        kohya=("qwen_image", "qwen-image", "qwen"),
        modelspec=("qwen-image",),
        onetrainer=("QWEN",),
        scannable=True,
    ),
    Family(
        "z-image",
        bases=("Tongyi-MAI/Z-Image-Turbo",),
        labels={"ZImageTurbo": "Tongyi-MAI/Z-Image-Turbo", "ZImageBase": None},
        pipelines=("ZImagePipeline", "ZImageImg2ImgPipeline"),
        denoisers=("ZImageTransformer2DModel",),
        kohya=("zimage", "z_image", "z-image"),
        modelspec=("z-image",),
        onetrainer=("Z_IMAGE",),
        scannable=True,
    ),
    *IMAGES,
    *MOTION,
    *ELSE,
)
"""All of them; those that can be scanned first."""

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
