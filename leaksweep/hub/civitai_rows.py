"""A model, a version, a file as Civitai's API writes them down: three shapes that differ by endpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

from leaksweep.hub.blob import Blob
from leaksweep.hub.content import CivitaiFile, CivitaiModel, CivitaiVersion

Json = dict[str, Any]
Blobs = Callable[[CivitaiFile], Blob]
"""The bytes of a file."""

_AIR_KINDS = {"Checkpoint": "checkpoint", "LORA": "lora", "LoCon": "lycoris", "DoRA": "dora"}


def list_row(model: CivitaiModel, blobs: Blobs, url: str, *, every_availability: bool = False) -> Json:
    """Return a model as GET /models lists it: no date of its own, no version without files.

    Args:
        url: where the API is, for download URLs.
        every_availability: show versions that are not public too, as when models are asked for by id.
    """
    shown = shown_versions(model, every_availability=every_availability)
    row: Json = {
        "id": model.id,
        "name": model.name,
        "description": model.description,
        "allowNoCredit": True,
        "allowCommercialUse": f"{{{','.join(model.allow_commercial_use)}}}",
        "allowDerivatives": True,
        "allowDifferentLicense": True,
        "type": model.type,
        "minor": model.minor,
        "sfwOnly": False,
        "poi": model.poi,
        "nsfw": model.nsfw,
        "nsfwLevel": model.nsfw_level,
        "availability": model.availability,
        "userId": 1000001,
        "baseModels": list(dict.fromkeys(version.base_model for version in shown)),
        "cosmetic": None,
        "supportsGeneration": False,
        "stats": _stats(model) | {"commentCount": 0, "tippedAmountCount": 0},
        "tags": list(model.tags),
        "modelVersions": [_version(model, version, index, blobs, url) for index, version in enumerate(shown)],
    }
    if model.creator:
        row["creator"] = {"username": model.creator, "image": None}
    if model.mode:
        row["mode"] = model.mode
    return row


def shown_versions(model: CivitaiModel, *, every_availability: bool = False) -> list[CivitaiVersion]:
    """Return the versions that a list shows."""
    return [
        version
        for version in model.versions
        if version.status == "Published"
        and version.files
        and (every_availability or version.availability == "Public")
    ]


def is_listed(model: CivitaiModel) -> bool:
    """Tell whether a model is left on its page: one that has versions, but shows none, is not."""
    return not model.versions or bool(shown_versions(model))


def by_id_row(model: CivitaiModel, blobs: Blobs, url: str) -> Json:
    """Return a model as GET /models/{id} does: versions say when they were made, and drop what is empty."""
    row = list_row(model, blobs, url, every_availability=True)
    published = {version.id: version.published_at for version in model.versions}
    for version in row["modelVersions"]:
        version |= {"status": "Published", "createdAt": published[version["id"]], "covered": True}
    row["modelVersions"] = [_remove_empty(version) for version in row["modelVersions"]]
    return row


def version_row(model: CivitaiModel, version: CivitaiVersion, blobs: Blobs, url: str) -> Json:
    """Return a version as GET /model-versions/{id} does: with its model, and `primary` true or false."""
    row = _version(model, version, 0, blobs, url)
    for key in ("index", "flags", "availability", "vaeId", "supportsGeneration"):
        del row[key]
    for file, shown in zip(version.files, row["files"], strict=False):
        shown["primary"] = file.primary
        shown["metadata"] = {key: shown["metadata"][key] for key in ("format", "size", "fp")}
    kind = _AIR_KINDS.get(model.type, "other")
    about = {"name": model.name, "type": model.type, "nsfw": model.nsfw, "poi": model.poi}
    return row | {
        "modelId": model.id,
        "createdAt": version.published_at,
        "updatedAt": version.published_at,
        "status": version.status,
        "trainingStatus": None,
        "trainingDetails": None,
        "uploadType": "Created",
        "usageControl": version.usage_control,
        "air": f"urn:air:sd1:{kind}:civitai:{model.id}@{version.id}",
        "model": about | ({"mode": model.mode} if model.mode else {}),
    }


def hashes(file: CivitaiFile, blob: Blob) -> dict[str, str]:
    """Return the hashes the hub knows, upper-case; none before its scan."""
    if not file.hashed:
        return {}
    sha256 = blob.sha256.upper()
    known = {
        "AutoV1": blob.autov1,
        "AutoV2": sha256[:10],
        "SHA256": sha256,
        "CRC32": blob.crc32,
        "AutoV3": blob.autov3,
    }
    return {name: value for name, value in known.items() if value is not None}


def _version(model: CivitaiModel, version: CivitaiVersion, index: int, blobs: Blobs, url: str) -> Json:
    archived = model.mode == "Archived"
    row: Json = {
        "id": version.id,
        "index": index,
        "name": version.name,
        "baseModel": version.base_model,
        "baseModelType": "Standard",
        "publishedAt": version.published_at,
        "flags": 0,
        "availability": version.availability,
        "nsfwLevel": version.nsfw_level,
        "description": version.description,
        "trainedWords": list(version.trained_words),
        "vaeId": None,
        "paidAccess": None,
        "stats": _stats(model),
        "supportsGeneration": False,
        "files": [] if archived else [_file(version, file, blobs(file), url) for file in version.files],
        "images": [] if model.mode == "TakenDown" else list(_images(version)),
    }
    if not archived and version.files:
        row["downloadUrl"] = f"{url}/api/download/models/{version.id}"
    return row


def _file(version: CivitaiVersion, file: CivitaiFile, blob: Blob, url: str) -> Json:
    scanned = "Success" if file.hashed else "Pending"
    row: Json = {
        "id": file.id,
        "sizeKB": blob.size / 1024,
        "name": file.name,
        "overrideName": None,
        "type": file.type,
        "pickleScanResult": file.pickle_scan if file.hashed else "Pending",
        "pickleScanMessage": "No Pickle imports" if file.hashed and file.pickle_scan == "Success" else None,
        "virusScanResult": scanned,
        "virusScanMessage": None,
        "scannedAt": version.published_at if file.hashed else None,
        "metadata": {"format": file.format, "size": file.size, "fp": file.fp},
        "hashes": hashes(file, blob),
        "downloadUrl": f"{url}/api/download/models/{version.id}",
    }
    if file.primary:
        row["primary"] = True
    else:
        # The address of a second file carries its type and format, which the download may answer with 404.
        row["downloadUrl"] += "?" + urlencode({"type": file.type, "format": file.format})
    return row


def _images(version: CivitaiVersion) -> Iterator[Json]:
    """Yield the one example picture every version has; nothing serves it."""
    yield {
        "id": version.id,
        "url": f"https://image.example/{version.id}.jpeg",
        "nsfwLevel": 1,
        "type": "image",
    }


def _stats(model: CivitaiModel) -> Json:
    return {"downloadCount": model.downloads, "thumbsUpCount": model.thumbs_up, "thumbsDownCount": 0}


def _remove_empty(row: Json) -> Json:
    return {key: value for key, value in row.items() if value is not None and value != []}
