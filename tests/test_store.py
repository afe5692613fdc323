"""The download store, against real loopback servers that misbehave as hubs do."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest
from fakes import Answer, Asked, Loopback, Reply, loopback, ranged
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.checkpoint import CrawlError, Hub, RemoteFile, SkipReason
from crawler.guest.client import stream_opener
from crawler.settings import CrawlerSettings
from crawler.store import Store, open_store
from crawler.store.content import foreign_content
from crawler.store.paths import local_path
from crawler.store.refusal import DownloadError
from crawler.store.shelves import file_name

HEADER = json.dumps({"a": {"dtype": "F32", "shape": [64], "data_offsets": [0, 256]}}).encode()
WEIGHTS = struct.pack("<Q", len(HEADER)) + HEADER + bytes(range(256))
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()
HF = Hub.HUGGINGFACE


def open_at(url: str, token: str | None = None) -> Callable[..., object]:
    settings = CrawlerSettings.model_validate({"huggingface_url": url, "civitai_url": url, "retries": 0})
    return stream_opener(settings, {HF: token})


def store_at(
    root: Path, url: str, *, budget: int = 1 << 20, token: str | None = None, **more: object
) -> Store:
    options = {"sleep": lambda seconds: None, "retries": 2, **more}
    return Store(root, budget=budget, open_stream=open_at(url, token), **options)  # type: ignore[arg-type]


def weights(server: Loopback, name: str = "a.safetensors", **more: object) -> RemoteFile:
    fields = {"size": len(WEIGHTS), "sha256": DIGEST, **more}
    return RemoteFile(path=name, url=f"{server.url}/{name}", **fields)  # type: ignore[arg-type]


def refusal(root: Path, reply: Reply, **more: object) -> DownloadError:
    """The error of a download that must fail; nothing whole may be left."""
    with loopback(reply) as server:
        store = store_at(root, server.url)
        with pytest.raises(DownloadError) as caught:
            store.fetch(weights(server, **more), HF)
    assert list(store.files()) == []
    assert server.url in str(caught.value)
    return caught.value


def test_a_file_is_named_by_its_content_and_fetched_once(tmp_path: Path) -> None:
    with loopback(ranged(WEIGHTS)) as server:
        store = store_at(tmp_path, server.url)
        path = store.fetch(weights(server), HF)
        assert store.fetch(weights(server, name="copy.safetensors"), HF) == path
    assert path.read_bytes() == WEIGHTS
    assert path.name == f"{DIGEST}.safetensors"
    assert len(server.seen) == 1
    assert [(file.name, file.size) for file in store.files()] == [(DIGEST, len(WEIGHTS))]
    assert store.usage() == len(WEIGHTS)


def test_a_cut_body_is_gone_on_with(tmp_path: Path) -> None:
    whole = ranged(WEIGHTS)

    def reply(asked: Asked) -> Answer:
        answer = whole(asked)
        answer.cut = 100 if len(server.seen) < 3 else None
        return answer

    with loopback(reply) as server:
        path = store_at(tmp_path, server.url).fetch(weights(server), HF)
    assert path.read_bytes() == WEIGHTS
    assert [asked.headers.get("range") for asked in server.seen] == [None, "bytes=100-", "bytes=200-"]
    assert [asked.headers.get("if-range") for asked in server.seen] == [None, '"v1"', '"v1"']


def test_a_part_is_gone_on_with_by_the_next_run(tmp_path: Path) -> None:
    def cut(asked: Asked) -> Answer:
        answer = ranged(WEIGHTS)(asked)
        answer.cut = 0 if "range" in asked.headers else 100
        return answer

    with loopback(lambda asked: serve[0](asked)) as server:
        serve: list[Reply] = [cut]
        with pytest.raises(DownloadError, match="next run goes on") as caught:
            store_at(tmp_path, server.url).fetch(weights(server), HF)
        assert caught.value.reason is SkipReason.DOWNLOAD_FAILED
        serve[0] = ranged(WEIGHTS)
        assert store_at(tmp_path, server.url).fetch(weights(server), HF).read_bytes() == WEIGHTS
    assert server.seen[-1].headers["range"] == "bytes=100-"


@pytest.mark.parametrize("change", ["ignored range", "new version", "weak etag", "wrong range", "416"])
def test_a_part_that_cannot_be_gone_on_with_is_begun_anew(tmp_path: Path, change: str) -> None:
    first = WEIGHTS[:100] + bytes(len(WEIGHTS) - 100)

    def reply(asked: Asked) -> Answer:
        if len(server.seen) == 1:
            return Answer(first, headers={"ETag": 'W/"v1"' if change == "weak etag" else '"v1"'}, cut=150)
        if "range" not in asked.headers or change == "ignored range":
            return Answer(WEIGHTS, headers={"ETag": '"v2"'})
        if change == "wrong range":
            return Answer(WEIGHTS[7:], status=206, headers={"Content-Range": "bytes 7-9/10"})
        if change == "416":
            return Answer(status=416, headers={"Content-Range": "bytes */10"})
        return ranged(WEIGHTS, '"v2"')(asked)

    with loopback(reply) as server:
        path = store_at(tmp_path, server.url).fetch(weights(server), HF)
    assert path.read_bytes() == WEIGHTS


def test_a_server_that_never_gets_further_is_given_up(tmp_path: Path) -> None:
    error = refusal(tmp_path, lambda asked: Answer(WEIGHTS, cut=100))
    assert error.reason is SkipReason.DOWNLOAD_FAILED


def test_a_wrong_digest_is_refused_and_removed(tmp_path: Path) -> None:
    other = WEIGHTS[:-1] + b"!"
    error = refusal(tmp_path, ranged(other))
    assert error.reason is SkipReason.WRONG_DIGEST
    assert list((tmp_path / "parts").iterdir()) == []


def test_more_bytes_than_told_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, ranged(WEIGHTS), size=len(WEIGHTS) - 1).reason is SkipReason.WRONG_DIGEST


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE html><html><body>Sign in</body></html>",
        b"\n <html>",
        b"PK\x03\x04" + bytes(100),
        b"\x80\x02}q\x00(X\x05\x00",
        b"\x1f\x8b\x08\x00",
        b"",
        b"short",
        struct.pack("<Q", 200_000_000) + b"{" + bytes(100),
        struct.pack("<Q", 5000) + b"{" + bytes(100),
    ],
)
@pytest.mark.parametrize("told", [True, False])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, body: bytes, told: bool) -> None:
    if body.startswith(struct.pack("<Q", 5000)) and not told:
        pytest.skip("without a size only the header's reader can tell")
    error = refusal(tmp_path, lambda asked: Answer(body), size=len(body) if told else None, sha256=None)
    assert error.reason is SkipReason.NOT_WEIGHTS
    assert list((tmp_path / "parts").iterdir()) == []


def test_a_web_page_is_refused_by_its_type(tmp_path: Path) -> None:
    page = Answer(WEIGHTS, headers={"Content-Type": "text/html; charset=utf-8"})
    assert refusal(tmp_path, lambda asked: page).reason is SkipReason.NOT_WEIGHTS


def test_a_pickle_is_not_even_asked_for(tmp_path: Path) -> None:
    with loopback(ranged(WEIGHTS)) as server, pytest.raises(DownloadError) as caught:
        store_at(tmp_path, server.url).fetch(weights(server, name="model.ckpt"), HF)
    assert caught.value.reason is SkipReason.NOT_WEIGHTS
    assert server.seen == []


@pytest.mark.parametrize(
    ("status", "headers", "body", "reason"),
    [
        (401, {"X-Error-Code": "GatedRepo"}, b"", SkipReason.GATED),
        (401, {"X-Error-Code": "RepoNotFound"}, b"", SkipReason.UNREACHABLE),
        (403, {}, b'{"error":"Early Access"}', SkipReason.EARLY_ACCESS),
        (403, {"X-Error-Message": "Access to this resource is disabled."}, b"", SkipReason.DISABLED),
        (404, {"X-Error-Code": "EntryNotFound"}, b"", SkipReason.UNREACHABLE),
        (410, {}, b"Model archived", SkipReason.ARCHIVED),
        (500, {}, b"", SkipReason.DOWNLOAD_FAILED),
    ],
)
def test_a_refusal_has_its_reason(
    tmp_path: Path, status: int, headers: dict[str, str], body: bytes, reason: SkipReason
) -> None:
    error = refusal(tmp_path, lambda asked: Answer(body, status=status, headers=headers))
    assert error.reason is reason
    assert str(status) in str(error)


def test_a_signed_address_that_expired_is_asked_for_again_and_sees_no_token(tmp_path: Path) -> None:
    def storage_reply(asked: Asked) -> Answer:
        return ranged(WEIGHTS)(asked) if asked.path == "/signed/2" else Answer(status=403)

    with loopback(storage_reply) as storage:

        def hub_reply(asked: Asked) -> Answer:
            return Answer(status=302, headers={"Location": f"{storage.url}/signed/{len(hub.seen)}"})

        with loopback(hub_reply) as hub:
            path = store_at(tmp_path, hub.url, token="secret").fetch(weights(hub), HF)
    assert path.read_bytes() == WEIGHTS
    assert [asked.headers.get("authorization") for asked in hub.seen] == ["Bearer secret"] * 2
    assert [asked.headers.get("authorization") for asked in storage.seen] == [None] * 2


def test_the_budget_names_its_setting(tmp_path: Path) -> None:
    with loopback(ranged(WEIGHTS)) as server:
        for size in (len(WEIGHTS), None):
            store = store_at(tmp_path / str(size), server.url, budget=100)
            with pytest.raises(DownloadError, match=r"crawler\.store_bytes") as caught:
                store.fetch(weights(server, size=size), HF)
            assert caught.value.reason is SkipReason.BUDGET
            assert store.usage() <= 100


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    with loopback(ranged(WEIGHTS)) as server:
        for size in (len(WEIGHTS), None):
            store = store_at(tmp_path, server.url, max_file_bytes=100)
            with pytest.raises(DownloadError, match=r"crawler\.max_file_bytes") as caught:
                store.fetch(weights(server, size=size), HF)
            assert caught.value.reason is SkipReason.TOO_LARGE


class Texts:
    """A hub of small files of 100 bytes each, numbered, without digests; and a store in which three fit."""

    def __init__(self, root: Path, server: Loopback) -> None:
        self.now = 1000.0
        self.needed: list[str] = []
        self._server = server
        self.store = store_at(
            root, server.url, budget=300, clock=lambda: self.now, needed=lambda: self.needed
        )

    def file(self, n: int) -> RemoteFile:
        return RemoteFile(path=f"{n}.json", url=f"{self._server.url}/{n}.json", size=100, sha256=None)

    def fetch(self, n: int) -> Path:
        self.now += 1
        return self.store.fetch(self.file(n), HF)


@pytest.fixture
def texts(tmp_path: Path) -> Iterator[Texts]:
    with loopback(lambda asked: Answer(asked.path.encode().ljust(100, b"."))) as server:
        yield Texts(tmp_path, server)


def test_the_files_unused_for_longest_make_room(texts: Texts) -> None:
    old, used, third = texts.fetch(0), texts.fetch(1), texts.fetch(2)
    texts.fetch(0)
    texts.fetch(3)
    assert (old.exists(), used.exists(), third.exists()) == (True, False, True)
    assert texts.store.usage() == 300


def test_what_a_queued_job_needs_stays_and_the_rest_goes(texts: Texts) -> None:
    paths = [texts.fetch(n) for n in range(3)]
    texts.needed = [file_name(texts.file(n), HF) for n in (0, 1)]
    texts.fetch(3)
    assert [path.exists() for path in paths] == [True, True, False]
    texts.needed.append(file_name(texts.file(3), HF))
    with pytest.raises(DownloadError, match="needed by queued jobs") as caught:
        texts.fetch(4)
    assert caught.value.reason is SkipReason.BUDGET
    texts.needed.clear()  # as after the jobs have ended: nothing stands in the way for good
    assert texts.fetch(4).exists()


def test_what_is_in_use_stays(texts: Texts) -> None:
    paths = [texts.fetch(n) for n in range(3)]
    with texts.store.using([texts.file(0)], HF):
        texts.fetch(3)
        assert [path.exists() for path in paths] == [True, False, True]
    texts.fetch(4)
    texts.fetch(5)
    assert not paths[0].exists()


def test_the_last_files_of_a_folder_do_not_drive_out_the_first(texts: Texts) -> None:
    with pytest.raises(DownloadError, match="does not fit"):
        texts.store.fetch_folder([texts.file(n) for n in range(4)], HF)
    assert texts.store.usage() == 300


def test_a_file_without_a_digest_needs_no_network_the_second_time(tmp_path: Path) -> None:
    with loopback(lambda asked: Answer(b'{"a": 1}')) as server:
        file = RemoteFile(path="unet/config.json", url=f"{server.url}/abc/config.json", size=8, sha256=None)
        first = store_at(tmp_path, server.url).fetch(file, HF)
        assert store_at(tmp_path, server.url).fetch(file, HF) == first
    assert first.read_bytes() == b'{"a": 1}'
    assert len(server.seen) == 1


def test_a_folder_shows_the_repository(tmp_path: Path) -> None:
    bodies = {"/config": b'{"x": 1}', "/same": b'{"x": 1}', "/weights": WEIGHTS}
    with loopback(lambda asked: Answer(bodies[asked.path])) as server:
        files = [
            RemoteFile(path=path, url=f"{server.url}{url}", size=None, sha256=None)
            for path, url in [
                ("model_index.json", "/config"),
                ("unet/config.json", "/same"),
                ("unet/diffusion_pytorch_model.safetensors", "/weights"),
            ]
        ]
        store = store_at(tmp_path / "home", server.url)
        folder = store.fetch_folder(files, HF)
        assert store.fetch_folder(list(reversed(files)), HF) == folder
    assert len(server.seen) == 3
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        file.path for file in files
    }
    assert (folder / "unet/diffusion_pytorch_model.safetensors").read_bytes() == WEIGHTS
    moved = (tmp_path / "home").rename(tmp_path / "moved")
    assert (moved / folder.relative_to(tmp_path / "home") / "unet/config.json").read_bytes() == b'{"x": 1}'


@pytest.mark.parametrize(
    "path",
    ["/etc/x.json", "../x.json", "a/../x.json", "a//x.json", "./x.json", "C:x.json", "a\\x.json",
     "a\x00.json", "a\n.json", "", "a/", ".. /x.json", "a" * 300 + ".json", "\ud800.json"],
)  # fmt: skip
def test_a_path_that_leads_out_is_refused_before_any_download(tmp_path: Path, path: str) -> None:
    with loopback(ranged(WEIGHTS)) as server:
        store = store_at(tmp_path, server.url)
        bad = RemoteFile(path=path, url=f"{server.url}/x", size=None, sha256=None)
        with pytest.raises(CrawlError, match="no safe path"):
            store.fetch_folder([weights(server), bad], HF)
        with pytest.raises(CrawlError, match="no safe path"):
            store.fetch(bad, HF)
    assert server.seen == []


@pytest.mark.parametrize("names", [("a.json", "A.json"), ("a.json", "a.json/b.json")])
def test_paths_in_each_others_way_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    store = store_at(tmp_path, "http://127.0.0.1:1")
    files = [RemoteFile(path=name, url="http://127.0.0.1:1/x", size=None, sha256=None) for name in names]
    with pytest.raises(DownloadError, match="left alone") as caught:
        store.fetch_folder(files, HF)
    assert caught.value.reason is SkipReason.UNSAFE_FILE


def test_a_digest_that_is_none_is_refused(tmp_path: Path) -> None:
    file = RemoteFile(path="a.safetensors", url="http://127.0.0.1:1/x", size=None, sha256="../../etc/passwd")
    with pytest.raises(DownloadError, match="no SHA-256"):
        store_at(tmp_path, "http://127.0.0.1:1").fetch(file, HF)


@settings(deadline=None)
@given(st.text(alphabet=st.one_of(st.sampled_from("./\\:~ \x00ab"), st.characters()), max_size=40))
def test_a_local_path_never_leaves_its_folder(text: str) -> None:
    try:
        path = local_path(text)
    except CrawlError:
        return
    inside = os.path.normpath(os.path.join("/store", path))  # noqa: PTH118 - the string rules are the point
    assert inside.startswith("/store/")
    assert not path.is_absolute()
    assert isinstance(path, PurePosixPath)
    assert str(path) == text
    assert ":" not in text
    assert "\\" not in text


@settings(deadline=None)
@given(st.binary(min_size=64, max_size=80))
def test_any_header_is_judged_without_an_error(head: bytes) -> None:
    verdict = foreign_content("a.safetensors", head, None)
    assert verdict == "" or head[8:9] != b"{" or int.from_bytes(head[:8], "little") > 100_000_000 or verdict


def _fetch_in_process(root: Path, url: str) -> None:
    file = RemoteFile(path="a.safetensors", url=f"{url}/a", size=len(WEIGHTS), sha256=DIGEST)
    assert store_at(root, url).fetch(file, HF).read_bytes() == WEIGHTS


def test_two_processes_fetch_one_file_once(tmp_path: Path) -> None:
    with loopback(ranged(WEIGHTS)) as server:
        context = multiprocessing.get_context("spawn")
        both = [context.Process(target=_fetch_in_process, args=(tmp_path, server.url)) for _ in range(2)]
        for process in both:
            process.start()
        for process in both:
            process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert len(server.seen) == 1


def test_the_store_of_the_settings(tmp_path: Path) -> None:
    with loopback(ranged(WEIGHTS)) as server:
        settings = CrawlerSettings.model_validate({"huggingface_url": server.url, "store_bytes": 10})
        with pytest.raises(DownloadError, match="does not fit into the 10 of"):
            open_store(settings, tmp_path, {}).fetch(weights(server), HF)
