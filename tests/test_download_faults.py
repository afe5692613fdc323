"""Downloads from hubs that fail, lie or redirect: no file is lost or doubled, each fault has its reason."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fakes import Answer, Asked, loopback, ranged
from fakes_weights import remote, weights

from crawler.checkpoint import Hub, RemoteFile, SkipReason
from crawler.guest.client import stream_opener
from crawler.settings import CrawlerSettings
from crawler.store import Store
from crawler.store import download as download_module
from crawler.store.refusal import DownloadError
from leaksweep.hub import ALWAYS, ONCE, Faults, HubContent, HubRepo, LocalHub, Strike

BODY = weights(1, 200_000)
HF = Hub.HUGGINGFACE
REPO = "ann/dog"


def store_at(root: Path, url: str, *, token: str | None = None, **more: object) -> Store:
    settings = CrawlerSettings.model_validate(
        {
            "huggingface_url": url,
            "civitai_url": url,
            "contact": "a@b.example",
            "retries": 0,
            "timeout_seconds": 0.3,
        }
    )
    options = {"budget": 1 << 20, "retries": 2, "sleep": lambda seconds: None, **more}
    return Store(root, open_stream=stream_opener(settings, {HF: token}), **options)  # type: ignore[arg-type]


def outcome(store: Store, file: RemoteFile) -> SkipReason | None:
    """None when the file came whole; what lies in the store must agree."""
    try:
        path = store.fetch(file, HF)
    except DownloadError as refused:
        error = refused
    else:
        error = None
    if error:
        assert file.url in str(error)
        assert list(store.files()) == []
        return error.reason
    assert path.read_bytes() == BODY
    assert [one.path for one in store.files()] == [path]
    assert list(store.shelves.parts.iterdir()) == []
    return None


LATE = SkipReason.DOWNLOAD_FAILED
WRONG = SkipReason.WRONG_DIGEST


@pytest.mark.parametrize(
    ("faults", "first", "second"),
    [
        ({"cut_body": ONCE}, None, None),
        ({"cut_body": Strike(times=9)}, None, None),  # each attempt brings half of what is left
        ({"slow_body": Strike(times=1), "slow_seconds": 1.0}, None, None),
        ({"slow_body": Strike(times=3), "slow_seconds": 1.0}, LATE, None),
        ({"wrong_content": ONCE}, WRONG, None),
        ({"wrong_content": ALWAYS}, WRONG, WRONG),
        ({"html_body": ONCE}, SkipReason.NOT_WEIGHTS, None),
        ({"expired_url": ONCE}, None, None),
        ({"expired_url": Strike(times=3)}, LATE, None),
        ({"ignored_range": ALWAYS, "cut_body": ONCE}, None, None),
        ({"cut_body": ONCE, "expired_url": Strike(after=1, times=1)}, None, None),
        ({"too_many_requests": ONCE}, LATE, None),
        ({"cut_body": ONCE, "too_many_requests": Strike(after=1, times=1)}, LATE, None),
        ({"server_error": ONCE}, LATE, None),
        ({"unavailable": ONCE}, LATE, None),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else str(value),
)
def test_a_fault_has_its_reason_and_the_next_run_gets_through(
    tmp_path: Path, faults: dict[str, object], first: SkipReason | None, second: SkipReason | None
) -> None:
    content = HubContent(repos=(HubRepo(id=REPO, files={"w.safetensors": BODY}),))
    with LocalHub(content, faults=Faults(**faults)) as hub:  # type: ignore[arg-type]
        file = remote(f"{hub.url}/{REPO}/resolve/main/w.safetensors", BODY)
        assert outcome(store_at(tmp_path, hub.url), file) == first
        assert outcome(store_at(tmp_path, hub.url), file) == second
        assert not any(one.authorized for one in hub.requests if one.host == "storage")


@contextmanager
def raw_server(answers: Sequence[Sequence[bytes | float]]) -> Iterator[tuple[str, list[bytes]]]:
    """Answers connections one after the other with these bytes, sleeping where there is a number."""
    heard: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for answer in answers:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                heard.append(connection.recv(65_536))
                try:
                    for piece in answer:
                        if isinstance(piece, bytes):
                            connection.sendall(piece)
                        else:
                            time.sleep(piece)
                except OSError:
                    continue  # the client has had enough

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", heard
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


def head(status: str, **headers: object) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *lines, "", ""]).encode()


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def test_a_stalled_body_is_gone_on_with(tmp_path: Path) -> None:
    size = len(BODY)
    first = [head("200 OK", Content_Length=size, ETag='"1"'), BODY[:5000], 0.45]
    rest = head(
        "206 Partial Content",
        Content_Length=size - 5000,
        ETag='"1"',
        Content_Range=f"bytes 5000-{size - 1}/{size}",
    )
    with raw_server([first, [rest, BODY[5000:]]]) as (url, heard):
        assert outcome(store_at(tmp_path, url), remote(f"{url}/w", BODY)) is None
    assert b"\r\nRange: bytes=5000-\r\n" in heard[1]
    assert b'\r\nIf-Range: "1"\r\n' in heard[1]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        # The catalog's size and Content-Length, as differences to the bytes that come.
        ((0, 0), ""),
        ((+10, 0), "the catalog tells 200010 bytes, the server tells 200000 bytes"),
        ((-10, 0), "the catalog tells 199990 bytes, the server tells 200000 bytes"),
        ((0, +10), "the server tells 200010 bytes"),
        ((0, -10), "the server tells 199990 bytes"),
        ((-10, -10), "SHA-256 is"),
        ((+10, +10), "not delivered"),
        ((None, -10), "SHA-256 is"),
        ((None, +10), "not delivered"),
        ((None, 0), ""),
    ],
)
def test_sizes_that_differ(tmp_path: Path, told: tuple[int | None, int], words: str) -> None:
    listed, length = told
    size = None if listed is None else len(BODY) + listed

    answer = [head("200 OK", Content_Length=len(BODY) + length, ETag='"1"'), BODY]
    end = [head("416 Range Not Satisfiable", Content_Range=f"bytes */{len(BODY) + length}", Content_Length=0)]
    with raw_server([answer, *[end, answer] * 4]) as (url, _):
        store = store_at(tmp_path, url)
        file = remote(f"{url}/w", BODY, size=size)
        if not words:
            assert outcome(store, file) is None
            return
        with pytest.raises(DownloadError, match=words) as caught:
            store.fetch(file, HF)
    assert caught.value.reason is (LATE if words == "not delivered" else WRONG)
    assert list(store.files()) == []


def test_a_body_without_a_length_that_is_too_long_stops_at_once(tmp_path: Path) -> None:
    flood = [head("200 OK", Transfer_Encoding="chunked"), chunked(BODY)[:-5], *[chunked(BODY)[:-5]] * 200]
    with raw_server([flood]) as (url, _):
        store = store_at(tmp_path, url)
        with pytest.raises(DownloadError, match="longer than the 200000 bytes") as caught:
            store.fetch(remote(f"{url}/w", BODY), HF)
        assert caught.value.reason is WRONG
        assert store.usage() == 0


def test_a_body_without_a_length_that_is_too_short_is_found_out(tmp_path: Path) -> None:
    short = [head("200 OK", Transfer_Encoding="chunked", ETag='"1"'), chunked(BODY)]
    end = [head("416 Range Not Satisfiable", Content_Range=f"bytes */{len(BODY)}", Content_Length=0)]
    with raw_server([short, end]) as (url, _):
        store = store_at(tmp_path, url)
        with pytest.raises(
            DownloadError, match="catalog tells 200010 bytes, the server tells 200000"
        ) as caught:
            store.fetch(remote(f"{url}/w", BODY, size=len(BODY) + 10), HF)
    assert caught.value.reason is WRONG


def linked(**headers: str) -> Callable[[Asked], Answer]:
    """A hub that answers the file at once, with what it tells of it in X-Linked headers."""
    return lambda asked: Answer(BODY, headers={"ETag": '"1"', **headers})


@pytest.mark.parametrize(
    ("headers", "file", "words"),
    [
        ({"X-Linked-Size": "7"}, {}, "the catalog tells 200000 bytes, the hub tells 7 bytes"),
        ({"X-Linked-Etag": f'"{"ab" * 32}"'}, {}, "SHA-256 is abababababab, the hub told"),
        ({"X-Linked-Etag": f'"{"ab" * 32}"'}, {"sha256": None}, "the hub told abababababab"),
        ({"X-Linked-Size": "7"}, {"size": None}, "the hub tells 7 bytes, the server tells 200000"),
        ({"X-Linked-Etag": '"no digest"', "X-Linked-Size": "many"}, {}, ""),
    ],
)
def test_what_the_hub_tells_beside_its_redirect(
    tmp_path: Path, headers: dict[str, str], file: dict[str, None], words: str
) -> None:
    with loopback(linked(**headers)) as server:
        store, wanted = store_at(tmp_path, server.url), remote(f"{server.url}/w", BODY, **file)
        if not words:
            assert outcome(store, wanted) is None
            return
        with pytest.raises(DownloadError, match=words) as caught:
            store.fetch(wanted, HF)
    assert caught.value.reason is WRONG
    assert store.usage() == 0


@pytest.mark.parametrize("etag", ['"strong"', 'W/"weak"', None])
def test_an_address_that_expires_in_the_middle_is_asked_for_again(tmp_path: Path, etag: str | None) -> None:
    """The storage cuts the body; by then its address has expired, which only the hub can mend."""

    def storage_reply(asked: Asked) -> Answer:
        if asked.path == "/signed/1":
            seen = sum(one.path == asked.path for one in storage.seen)
            headers = {} if etag is None else {"ETag": etag}
            return Answer(BODY, headers=headers, cut=50_000) if seen == 1 else Answer(status=403)
        if asked.path == "/signed/2":
            return Answer(status=403)
        answer = ranged(BODY, etag or "")(asked)
        return replace(answer, headers={} if etag is None else answer.headers)

    with loopback(storage_reply) as storage:

        def hub_reply(asked: Asked) -> Answer:
            return Answer(status=302, headers={"Location": f"{storage.url}/signed/{len(hub.seen)}"})

        with loopback(hub_reply) as hub:
            store = store_at(tmp_path, hub.url, token="secret")
            assert outcome(store, remote(f"{hub.url}/w", BODY)) is None
    assert len(hub.seen) == 3
    resumed = [asked.headers.get("range") for asked in storage.seen]
    # Without a strong ETag nobody could say that the rest belongs to what is there.
    assert resumed == [None, *[f"bytes={50_000}-" if etag == '"strong"' else None] * 2]
    assert [asked.headers.get("authorization") for asked in hub.seen] == ["Bearer secret"] * 3
    assert not any("authorization" in asked.headers for asked in storage.seen)


def test_a_range_of_another_version_is_not_joined_on(tmp_path: Path) -> None:
    other = bytes(len(BODY))

    def reply(asked: Asked) -> Answer:
        if len(server.seen) == 1:
            return Answer(BODY, headers={"ETag": '"1"'}, cut=50_000)
        if "range" in asked.headers:  # a server that ignores If-Range, and is honest about its ETag
            place = f"bytes 50000-{len(BODY) - 1}/{len(BODY)}"
            return Answer(other[50_000:], status=206, headers={"ETag": '"2"', "Content-Range": place})
        return Answer(BODY, headers={"ETag": '"1"'})

    with loopback(reply) as server:
        assert outcome(store_at(tmp_path, server.url), remote(f"{server.url}/w", BODY)) is None


def test_a_part_that_rotted_is_fetched_anew(tmp_path: Path) -> None:
    serve = [lambda asked: replace(ranged(BODY)(asked), cut=0 if "range" in asked.headers else 50_000)]
    with loopback(lambda asked: serve[0](asked)) as server:
        file = remote(f"{server.url}/w", BODY)
        assert outcome(store_at(tmp_path, server.url), file) is LATE
        (part,) = (tmp_path / "parts").glob("*.part")
        with part.open("r+b") as out:
            out.seek(30_000)
            out.write(b"rotten")
        serve[0] = ranged(BODY)
        assert outcome(store_at(tmp_path, server.url), file) is None
    assert [asked.headers.get("range") for asked in server.seen][-2:] == ["bytes=50000-", None]


@pytest.mark.parametrize("state", ["", "{", "[]", '{"url": 3}', '{"url": "other", "etag": "x"}', "\x00"])
def test_a_part_whose_state_cannot_be_read_is_begun_anew(tmp_path: Path, state: str) -> None:
    with loopback(ranged(BODY)) as server:
        store, file = store_at(tmp_path, server.url), remote(f"{server.url}/w", BODY)
        (store.shelves.parts / f"{file.sha256}.part").write_bytes(BODY[:999])
        (store.shelves.parts / f"{file.sha256}.part.json").write_text(state)
        assert outcome(store, file) is None
    assert "range" not in server.seen[0].headers


@pytest.mark.parametrize(
    "location",
    ["ftp://example.test/x", "http://[::bad/x", "/w", "file:///etc/passwd", "http://127.0.0.1:1/x"],
)
def test_a_redirect_to_nowhere_is_a_row(tmp_path: Path, location: str) -> None:
    with loopback(lambda asked: Answer(status=302, headers={"Location": location})) as server:
        assert outcome(store_at(tmp_path, server.url), remote(f"{server.url}/w", BODY)) is LATE


@pytest.mark.parametrize("url", ["http://[", "gopher://x/y", "not an address", ""])
def test_an_address_that_is_none_is_a_row(tmp_path: Path, url: str) -> None:
    assert outcome(store_at(tmp_path, "http://127.0.0.1:1"), remote(url, BODY)) is LATE


def test_a_trickle_is_given_up_and_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "WINDOW", 0.2)
    monkeypatch.setattr(download_module, "SLOWEST", 100_000)
    drops: list[bytes | float] = [piece for _ in range(20) for piece in (BODY[:10], 0.1)]
    drops[0] = BODY[:100]
    with raw_server([[head("200 OK", Content_Length=len(BODY), ETag='"1"'), *drops]]) as (url, _):
        store = store_at(tmp_path, url)
        with pytest.raises(DownloadError, match="too slow") as caught:
            store.fetch(remote(f"{url}/w", BODY), HF)
        assert caught.value.reason is LATE
        assert store.usage() > 0


def test_answers_that_are_encoded_are_decoded_within_the_promised_size(tmp_path: Path) -> None:
    def reply(asked: Asked) -> Answer:
        return Answer(b"no gzip at all", headers={"Content-Encoding": "gzip"})

    with loopback(reply) as server:
        assert outcome(store_at(tmp_path, server.url), remote(f"{server.url}/w", BODY)) is LATE


def test_a_client_that_gives_up_is_a_row(tmp_path: Path) -> None:
    def open_stream(*args: object) -> None:
        raise httpx.TooManyRedirects("too many")

    store = Store(tmp_path, budget=1 << 20, open_stream=open_stream, sleep=lambda seconds: None)  # type: ignore[arg-type]
    assert outcome(store, remote("http://127.0.0.1:1/w", BODY)) is LATE
