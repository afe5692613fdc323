"""Known copies and known strangers, measured by the matcher itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from crawler.catalog.engine import open_engine
from reports.calibration.distortions import DISTORTIONS, Distortion
from reports.finding import ReportError
from reports.matching.columns import Described, Hashes, Probes
from reports.matching.dense import NONE, Measures, measure
from reports.matching.hash_store import CODES
from reports.matching.hashes import FAR, Codes, Hasher, PictureHashes
from reports.references.index import ReferenceIndex
from reports.references.pictures import picture_files, read_picture
from reports.references.store import References
from scanner.vault import KEY_BYTES, Vault

if TYPE_CHECKING:
    from extraction.descriptors import Descriptor

SIGNALS = ("pdq", "phash256", "phash", "similarity")
"""Distances in bits but for the last, which is a cosine."""

_FEWEST = 10
"""Pictures with which a calibration says anything at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Every copy against every picture. N copies, R pictures."""

    names: Sequence[str]
    """(R,) paths in the folder."""
    distortions: Sequence[str]
    """(N,) what each copy was made with."""
    of: NDArray[np.int64]
    """(N,) which picture each is a copy of."""
    thing: NDArray[np.int64]
    """(R,) what each picture shows, from 0; those of one subfolder show one thing."""
    values: Mapping[str, NDArray[np.float64]]
    """(N, R) by signal; NaN where a pair cannot be compared."""
    descriptor: str
    hasher: str

    @property
    def copies(self) -> NDArray[np.bool_]:
        """(N, R): pairs of a copy and its own picture."""
        return np.asarray(self.of[:, None] == np.arange(len(self.names))[None], np.bool_)

    @property
    def alike(self) -> NDArray[np.bool_]:
        """(N, R): another picture of the same thing, which is neither a copy nor a stranger."""
        return np.asarray((self.thing[self.of][:, None] == self.thing[None]) & ~self.copies, np.bool_)

    @property
    def strangers(self) -> NDArray[np.bool_]:
        """(N, R): pairs of different things."""
        return np.asarray(self.thing[self.of][:, None] != self.thing[None], np.bool_)


def measure_folder(
    folder: Path,
    describe: Descriptor,
    hasher: Hasher,
    *,
    min_pdq_quality: int = 50,
    distortions: Mapping[str, Distortion] = DISTORTIONS,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Distort every picture of a folder and hold each copy against all of them.

    Args:
        folder: photographs or drawings of the sort that will be looked for. Pictures in one subfolder are
            taken to show the same thing; those directly in the folder, different things.

    Raises:
        ReportError: there are too few pictures, or one of them cannot be used.
    """
    files, _ = picture_files(folder)
    if len(files) < _FEWEST:
        raise ReportError(
            f"{folder}: holds {len(files)} pictures, and {_FEWEST} are the fewest that say anything; some "
            "hundred are better"
        )
    index = _index(folder, describe, hasher, min_pdq_quality)
    names = index.ref_ids.to_pylist()
    copies = [(at, kind) for at in range(len(names)) for kind in distortions]
    probes = _probes(folder, names, distortions, describe, hasher, min_pdq_quality, progress)
    of = np.array([at for at, _ in copies], np.int64)
    folders = [str(Path(name).parent) for name in names]
    shown = [name if place == "." else f"{place}/" for name, place in zip(names, folders, strict=True)]
    return Measured(
        names=names,
        distortions=[kind for _, kind in copies],
        of=of,
        thing=np.unique(shown, return_inverse=True)[1].astype(np.int64),
        values=_values(measure(probes, index, np.arange(len(copies)), range(len(names)), control=False)),
        descriptor=describe.name,
        hasher=hasher.name,
    )


def _index(folder: Path, describe: Descriptor, hasher: Hasher, min_pdq_quality: int) -> ReferenceIndex:
    """The folder as a reference set, in a store that lives as long as this takes."""
    with TemporaryDirectory(prefix="leaksweep-calibrate-") as place:
        engine = open_engine(f"sqlite:///{Path(place) / 'catalog.db'}")
        try:
            store = References(
                Path(place) / "references", Vault(os.urandom(KEY_BYTES)), engine, hasher=hasher
            )
            store.add_folder("calibration", folder, [describe], on_corrupt="fail")
            (index,) = store.load(["calibration"], min_pdq_quality=min_pdq_quality)
        finally:
            engine.dispose()
    return index


def _probes(
    folder: Path,
    names: Sequence[str],
    distortions: Mapping[str, Distortion],
    describe: Descriptor,
    hasher: Hasher,
    min_pdq_quality: int,
    progress: Callable[[int, int], None] | None,
) -> Probes:
    hashed: list[PictureHashes] = []
    described: list[NDArray[np.float32]] = []
    for done, name in enumerate(names, start=1):
        copies = list(_distorted(read_picture(folder / name).image, distortions))
        hashed += [hasher(image) for image in copies]
        described.append(describe([np.asarray(image) for image in copies]))
        if progress:
            progress(done, len(names))
    rows = np.concatenate(described)
    ids = [str(number) for number in range(len(hashed))]
    hashes = _codes(hashed, min_pdq_quality)
    both = Described(at=np.arange(len(ids)), picture=rows, control=rows)
    return Probes(
        ids=ids, checkpoint_ids=ids, picture=hashes, control=hashes, described={describe.name: both}
    )


def _distorted(image: Image.Image, distortions: Mapping[str, Distortion]) -> Iterator[Image.Image]:
    for distort in distortions.values():
        yield distort(image)


def _codes(hashed: Sequence[PictureHashes], min_pdq_quality: int) -> Hashes:
    good = np.array([(one.pdq_quality or 0) >= min_pdq_quality for one in hashed], np.bool_)

    def column(name: str) -> Codes:
        found = Codes.of_values([getattr(one, name) for one in hashed], CODES[name])
        return found.where(good) if name.startswith("pdq") else found

    return Hashes(**{name: column(name) for name in CODES})


def _values(found: Measures) -> dict[str, NDArray[np.float64]]:
    values = {}
    for name in SIGNALS:
        if name == "similarity":
            best = np.maximum(found.similarity, found.similarity_mirror).astype(np.float64)
            values[name] = np.where(best > NONE, best, np.nan)
        else:
            nearest = found.distance(name).astype(np.float64)
            values[name] = np.where(nearest < FAR, nearest, np.nan)
    return values
