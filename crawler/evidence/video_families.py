"""Families that make no still pictures, and labels of what nobody can download.

They are named so that a skip says what was seen. Sources: as in `family_table`.
"""

from __future__ import annotations

from collections.abc import Mapping

from crawler.evidence.family import Family


def _labels(*names: str) -> Mapping[str, str | None]:
    return dict.fromkeys(names)


VIDEO = "video"

MOTION = (
    Family(
        "wan",
        ("Wan-AI/Wan2.1-T2V-14B-Diffusers", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"),
        {
            "Wan Video": None,
            "Wan Video 1.3B t2v": "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
            "Wan Video 14B t2v": "Wan-AI/Wan2.1-T2V-14B-Diffusers",
            "Wan Video 14B i2v 480p": "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers",
            "Wan Video 14B i2v 720p": "Wan-AI/Wan2.1-I2V-14B-720P-Diffusers",
            "Wan Video 2.2 TI2V-5B": "Wan-AI/Wan2.2-TI2V-5B-Diffusers",
            "Wan Video 2.2 I2V-A14B": "Wan-AI/Wan2.2-I2V-A14B-Diffusers",
            "Wan Video 2.2 T2V-A14B": "Wan-AI/Wan2.2-T2V-A14B-Diffusers",
        },
        ("WanPipeline", "WanImageToVideoPipeline", "WanVideoToVideoPipeline", "WanVACEPipeline"),
        ("WanTransformer3DModel", "WanVACETransformer3DModel"),
        kohya=("wan",),
        what=VIDEO,
    ),
    Family(
        "hunyuan-video",
        ("hunyuanvideo-community/HunyuanVideo",),
        _labels("Hunyuan Video"),
        ("HunyuanVideoPipeline", "HunyuanVideoImageToVideoPipeline", "HunyuanVideoFramepackPipeline"),
        ("HunyuanVideoTransformer3DModel",),
        kohya=("hunyuan_video", "hunyuan-video", "hunyuanvideo"),
        onetrainer=("HUNYUAN_VIDEO",),
        what=VIDEO,
    ),
    Family(
        "ltx",
        ("Lightricks/LTX-Video-0.9.7-dev", "Lightricks/LTX-2"),
        _labels("LTXV", "LTXV2", "LTXV 2.3", "LTXV 2.5"),
        ("LTXPipeline", "LTXImageToVideoPipeline", "LTXConditionPipeline", "LTX2Pipeline"),
        ("LTXVideoTransformer3DModel", "LTX2VideoTransformer3DModel"),
        kohya=("ltx",),
        what=VIDEO,
    ),
    Family(
        "cogvideox",
        (),
        _labels("CogVideoX"),
        ("CogVideoXPipeline", "CogVideoXImageToVideoPipeline"),
        ("CogVideoXTransformer3DModel",),
        what=VIDEO,
    ),
    Family(
        "mochi",
        ("genmo/mochi-1-preview",),
        _labels("Mochi"),
        ("MochiPipeline",),
        ("MochiTransformer3DModel",),
        what=VIDEO,
    ),
    Family(
        "svd",
        labels=_labels("SVD", "SVD XT"),
        pipelines=("StableVideoDiffusionPipeline",),
        denoisers=("UNetSpatioTemporalConditionModel",),
        what=VIDEO,
    ),
    Family(
        "animatediff",
        pipelines=("AnimateDiffPipeline", "AnimateDiffSDXLPipeline"),
        denoisers=("UNetMotionModel",),
        what=VIDEO,
    ),
    Family("minimax", labels=_labels("MiniMax H3"), denoisers=("MiniMaxH3Transformer3DModel",), what=VIDEO),
    Family(
        "closed video",
        labels=_labels(
            "Flux 3 Video", "HappyHorse", "Kling", "Haiper", "Lightricks", "Seedance", "Sora 2", "Veo 3",
            "Vidu Q1", "Wan Video 2.5 T2V", "Wan Video 2.5 I2V", "Wan Video 2.7", "Wan Video 3.0",
        ),
        what="video, and no base model to be had",
    ),
)  # fmt: skip

ELSE = (
    Family(
        "closed",
        labels=_labels(
            "Boogu", "Grok", "Imagen4", "Lens", "MAI", "MageFlow", "Muse Image", "Nano Banana", "OpenAI",
            "Reve", "Seedream", "Wan Image 2.7",
        ),
        what="no base model to be had",
    ),
    Family("sound", labels=_labels("ACE Audio", "MiniMax Music 3", "YuE 2"), what="sound"),
    Family("solid", labels=_labels("Hunyuan3D", "PolyGen", "Tripo", "Pixal3D", "Trellis 2"), what="shapes"),
    Family("no family", labels=_labels("ODOR", "Other", "Upscaler"), what="its label names no model"),
)  # fmt: skip
