"""The closed lists of Civitai's API, as GET /enums tells them."""

from __future__ import annotations

MODEL_TYPES = (
    "Checkpoint", "TextualInversion", "Hypernetwork", "AestheticGradient", "LORA", "LoCon", "DoRA",
    "Controlnet", "Upscaler", "MotionModule", "VAE", "TextEncoder", "UNet", "CLIPVision", "Poses",
    "Wildcards", "Workflows", "ComfyWorkflows", "Detection", "VisionLanguage", "CLIP", "LLM", "Other",
)  # fmt: skip

FILE_TYPES = (
    "Model", "Text Encoder", "Vision Encoder", "Pruned Model", "Negative", "Training Data", "VAE", "Config",
    "Archive", "UNet", "Diffusion Model", "CLIPVision", "ControlNet", "Workflow", "Upscaler",
    "Enhancement LoRA", "Other",
)  # fmt: skip

BASE_MODELS = (
    "SD 1.4", "SD 1.5", "SD 1.5 LCM", "SD 1.5 Hyper", "SD 2.0", "SD 2.0 768", "SD 2.1", "SD 2.1 768",
    "SD 2.1 Unclip", "SDXL 0.9", "SDXL 1.0", "SDXL 1.0 LCM", "SDXL Distilled", "SDXL Turbo", "SDXL Lightning",
    "SDXL Hyper", "SD 3", "SD 3.5", "SD 3.5 Large", "SD 3.5 Large Turbo", "SD 3.5 Medium", "Stable Cascade",
    "Pony", "Pony V7", "Illustrious", "NoobAI", "Flux.1 D", "Flux.1 S", "Flux.1 Krea", "Flux.1 Kontext",
    "Flux.2 D", "Chroma", "HiDream", "Qwen", "ZImageTurbo", "ZImageBase", "AuraFlow", "Lumina", "Kolors",
    "PixArt a", "PixArt E", "Playground v2", "Hunyuan 1", "Other",
)  # fmt: skip
"""Those of text-to-image families; the hub has some fifty more for video and other kinds."""

BASE_MODEL_TYPES = ("Standard", "Inpainting", "Refiner", "Pix2Pix")

ENUMS = {
    "ModelType": MODEL_TYPES,
    "ModelFileType": FILE_TYPES,
    "ActiveBaseModel": BASE_MODELS,
    "BaseModel": BASE_MODELS,
    "BaseModelType": BASE_MODEL_TYPES,
}


def version_name(version_id: int | str) -> str:
    """Return what a model is found by, of one of its versions."""
    return f"version {version_id}"
