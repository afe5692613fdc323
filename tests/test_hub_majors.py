"""Both majors of huggingface_hub: 2.x is installed, 1.x is put before it on the path of another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from leaksweep.hub import Faults, HubContent, HubRepo, LocalHub, Strike

ROOT = Path(__file__).parent.parent
OTHER = "huggingface_hub==1.33.0"

SCRIPT = """
import json, sys
from pathlib import Path
import huggingface_hub
from huggingface_hub import hf_hub_url
from huggingface_hub.utils import get_session, httpx as hub_httpx
from crawler.crawl import UNREACHABLE
from crawler.evidence.headers import ranged
from crawler.guest.budget import Budget
from crawler.guest.client import hub_api
from crawler.guest.traffic import Traffic
from crawler.settings import CrawlerSettings

url, dead, path = sys.argv[1:]
settings = CrawlerSettings(huggingface_url=url, retries=2)
traffic = Traffic()
api = hub_api(settings, "hf_secret", budget=Budget(Path(path)), traffic=traffic)
listed = list(api.list_models(limit=10))
(file,) = [entry for entry in api.list_repo_tree("acme/pixel-lora") if entry.path.endswith(".safetensors")]
address = hf_hub_url("acme/pixel-lora", file.path, endpoint=url)
part = ranged(get_session(), {"Authorization": "Bearer hf_secret"})(address, 0, 100)
try:
    hub_api(settings.model_copy(update={"huggingface_url": dead, "retries": 0}), None).model_info("a/b")
    lost = "nothing"
except UNREACHABLE as error:
    lost = type(error).__module__.split(".")[0]
print(json.dumps({
    "version": huggingface_hub.__version__,
    "library": hub_httpx.__name__,
    "listed": [row.id for row in listed],
    "size": file.size,
    "part": len(part),
    "lost": lost,
    "requests": {spent.bucket: spent.requests for spent in traffic.spent()},
}))
"""


def crawled(folder: Path | None, tmp_path: Path) -> dict[str, object]:
    weights = b"\x02\x00\x00\x00\x00\x00\x00\x00{}" + bytes(500)
    repo = HubRepo(id="acme/pixel-lora", files={"pytorch_lora_weights.safetensors": weights})
    faults = Faults(server_error=Strike(on="/tree/", times=1))
    environment = dict(os.environ)
    if folder is not None:
        environment["PYTHONPATH"] = str(folder)
    with LocalHub(HubContent(repos=(repo,)), faults=faults, tokens={"hf_secret": ()}) as hub:
        command = [sys.executable, "-c", SCRIPT, hub.url, "http://127.0.0.1:9", str(tmp_path / "guest.db")]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        assert all(request.authorized == (request.host != "storage") for request in hub.requests)
    found: dict[str, object] = json.loads(done.stdout)
    assert found["listed"] == ["acme/pixel-lora"]
    assert (found["size"], found["part"]) == (510, 100)
    assert found["requests"] == {"api": 3, "files": 1, "resolvers": 1}
    return found


def test_the_installed_major(tmp_path: Path) -> None:
    crawled(None, tmp_path)


@pytest.mark.slow
def test_the_other_major(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), OTHER]
    done = subprocess.run(install, capture_output=True, timeout=300)
    if done.returncode:
        pytest.skip(f"pip cannot install {OTHER} here: {done.stderr.decode().strip().splitlines()[-1]}")
    found = crawled(folder, tmp_path)
    assert (found["version"], found["library"], found["lost"]) == ("1.33.0", "httpx", "httpx")
