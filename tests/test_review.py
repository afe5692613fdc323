"""The review page's rules: who gets in, what is shown when, and what is written down before it is."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes_reports import HOSTILE, SURROGATE, a_checkpoint, a_finding
from fakes_review import BASE, TOKEN, a_client, a_desk, a_shelf, acts, csrf, entered, post, shown
from PIL import Image, ImageChops
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from crawler.catalog.engine import open_engine
from reports.finding import FindingState, Severity
from reports.review.app import new_app
from reports.review.desk import ReviewDesk
from reports.review.guard import Rules, hosts
from reports.review.session import Door

LOW, MEDIUM, HIGH, CRITICAL = Severity
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'catalog.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def desk(engine: Engine) -> ReviewDesk:
    return a_desk(engine, a_shelf(HIGH, CRITICAL, LOW))


def the_first(desk: ReviewDesk) -> str:
    """Id of the strongest finding, which is of no. 1 of the shelf."""
    return desk.queue().items[0].id


@pytest.mark.parametrize("path", ["/", "/findings/x", "/leave", "/nothing", "/assets"])
def test_nothing_is_shown_without_the_token(desk: ReviewDesk, path: str) -> None:
    answer = a_client(desk).get(path)
    assert answer.status_code == 401
    assert "harbour" not in answer.text


@pytest.mark.parametrize("act", ["reveal", "label"])
def test_nothing_is_done_without_the_token(desk: ReviewDesk, act: str) -> None:
    finding = the_first(desk)
    client = a_client(desk, headers={"Origin": BASE})
    answer = client.post(f"/findings/{finding}/{act}", data={"picture": "extraction", "label": "confirmed"})
    assert answer.status_code == 401
    assert acts(desk) == []


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", "ünïcode \ud800"])
def test_another_token_opens_nothing(desk: ReviewDesk, token: str) -> None:
    client = a_client(desk, headers={"Origin": BASE})
    body = b"token=" + token.encode("utf-8", "surrogatepass")
    answer = client.post(
        "/enter", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert client.get("/", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_the_token_opens_a_session_in_a_strict_cookie(desk: ReviewDesk) -> None:
    client = a_client(desk, headers={"Origin": BASE})
    answer = client.post("/enter", data={"token": TOKEN})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in cookie
    assert client.get("/").status_code == 200


def test_the_ticket_of_the_address_opens_the_page_once(desk: ReviewDesk) -> None:
    """It stays in the browser's history, where others may find it."""
    door = Door(minutes=60, token=TOKEN)
    first, second = (a_client(desk, door, headers={"Origin": BASE}) for _ in range(2))
    assert first.post("/enter", data={"token": door.ticket}).status_code == 303
    again = second.post("/enter", data={"token": door.ticket})
    assert again.status_code == 401
    assert "an address that was used before" in again.text
    assert first.post("/enter", data={"token": door.ticket}).headers["location"] == "/"
    assert second.get("/", headers={"Authorization": f"Bearer {door.ticket}"}).status_code == 401
    assert second.post("/enter", data={"token": TOKEN}).status_code == 303


def test_the_header_does_as_well_and_needs_no_form_token(desk: ReviewDesk) -> None:
    client = a_client(desk, headers=BEARER)
    finding = the_first(desk)
    assert client.get("/").status_code == 200
    answer = client.post(f"/findings/{finding}/label", data={"label": "unsure"})
    assert answer.status_code == 303
    assert acts(desk) == [("label", finding)]


def test_a_session_ends_when_nothing_is_asked_for_a_while(desk: ReviewDesk) -> None:
    now = [0.0]
    client = entered(desk, Door(minutes=10, token=TOKEN, clock=lambda: now[0]))
    for now[0] in (599.0, 1198.0):
        assert client.get("/").status_code == 200
    now[0] = 1799.0
    assert client.get("/").status_code == 401


def test_who_leaves_has_to_give_the_token_again(desk: ReviewDesk) -> None:
    client = entered(desk)
    cookie = dict(client.cookies)
    assert post(client, "/leave").status_code == 303
    client.cookies.update(cookie)
    assert client.get("/").status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8475", "127.0.0.1.evil.example", "", "127.0.0.1@x", "192.168.1.9"]
)
def test_a_name_that_was_bent_to_lead_here_is_refused(desk: ReviewDesk, host: str) -> None:
    answer = a_client(desk, headers=BEARER).get("/", headers={"Host": host})
    assert answer.status_code == 400
    assert "harbour" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:8475", "localhost", "LOCALHOST:9000"])
def test_our_own_names_are_known_at_any_port(desk: ReviewDesk, host: str) -> None:
    """A tunnel ends at another one."""
    assert a_client(desk, headers=BEARER).get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("field", [{}, {"csrf": ""}, {"csrf": "x" * 43}])
@pytest.mark.parametrize("act", ["reveal", "label"])
def test_a_form_without_its_token_does_nothing(desk: ReviewDesk, field: dict[str, str], act: str) -> None:
    client, finding = entered(desk), the_first(desk)
    data = {"picture": "extraction", "label": "confirmed", **field}
    assert client.post(f"/findings/{finding}/{act}", data=data).status_code == 403
    assert acts(desk) == []


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:8476", "https://127.0.0.1:8475", None]
)
def test_a_form_from_another_page_does_nothing(desk: ReviewDesk, origin: str | None) -> None:
    client, finding = entered(desk), the_first(desk)
    data = {"csrf": csrf(client), "label": "confirmed"}
    client.headers.pop("Origin")
    headers = {"Origin": origin} if origin else {}
    assert client.post(f"/findings/{finding}/label", data=data, headers=headers).status_code == 403
    assert acts(desk) == []


def test_a_form_of_another_session_does_nothing(desk: ReviewDesk) -> None:
    door = Door(minutes=60, token=TOKEN)
    theirs, ours = csrf(entered(desk, door)), entered(desk, door)
    finding = the_first(desk)
    answer = ours.post(f"/findings/{finding}/label", data={"csrf": theirs, "label": "confirmed"})
    assert answer.status_code == 403


def test_what_is_no_form_or_too_large_is_refused(desk: ReviewDesk) -> None:
    client, finding = entered(desk), the_first(desk)
    path = f"/findings/{finding}/label"
    assert client.post(path, json={"label": "confirmed"}).status_code == 415
    assert post(client, path, label="confirmed", note="x" * 270_000).status_code == 413
    assert post(client, path, label="confirmed", note="x" * 3_000).status_code == 400
    assert client.put(path).status_code == 405
    assert acts(desk) == []


@pytest.mark.parametrize("path", ["/", "/enter", "/findings/none", "/assets/none"])
def test_every_answer_forbids_what_the_page_does_not_need(desk: ReviewDesk, path: str) -> None:
    headers = entered(desk).get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; form-action 'self'")
    assert "unsafe" not in policy
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert ("script-src" in policy) == (path == "/enter")


def test_pages_load_nothing_but_their_own_style_by_the_name_of_its_content(desk: ReviewDesk) -> None:
    client = entered(desk)
    finding = the_first(desk)
    for path in ("/", f"/findings/{finding}", "/enter"):
        loaded = re.findall(r'(?:src|href)="([^"]+)"', client.get(path).text)
        assert all(one.startswith(("/", "#")) for one in loaded)
    (style,) = {one for one in loaded if one.endswith(".css")}
    assert re.fullmatch(r"/assets/review\.[0-9a-f]{16}\.css", style)
    answer = client.get(style)
    assert answer.headers["content-type"].startswith("text/css")
    assert "immutable" in answer.headers["cache-control"]


def test_the_strongest_come_first_and_what_does_not_count_waits_for_nobody(engine: Engine) -> None:
    shelf = a_shelf(LOW, HIGH, CRITICAL, MEDIUM)
    gone = a_finding(a_checkpoint("mira/gone"), state=FindingState.GONE)
    based = a_finding(a_checkpoint("mira/based"), explained_by_base=True)
    shelf.found += [gone, based]
    desk = a_desk(engine, shelf)
    client = entered(desk)
    listed = re.findall(r'<h2><span class="severity (\w+)"', client.get("/").text)
    assert listed == ["critical", "high", "medium", "low"]
    aside = client.get("/?show=aside").text
    assert "The last matching did not see it any more" in aside
    assert "Explained by the base model" in aside
    assert re.findall(r'href="/findings/([0-9a-f]{16})"', aside) == [gone.id, based.id]
    assert desk.queue().numbers() == {"open": 4, "settled": 0, "conflicts": 0, "aside": 2, "all": 6}
    assert desk.queue().waiting() == 4


def test_the_queue_holds_metadata_and_opens_no_picture(engine: Engine) -> None:
    shelf = a_shelf(HIGH)
    page = entered(a_desk(engine, shelf)).get("/").text.replace("\u00a0", " ")
    for words in (
        "sscd&gt;=0.75",
        "cosine 0.87, PDQ 24, pHash 4",
        "harbour/0007.jpg",
        "0.01, from 99 wrong checkpoints",
        "watchlist",
    ):
        assert words in page
    assert "cosine 0.12" in page
    assert "<img" not in page
    assert shelf.opened == []


def test_long_queues_come_in_pages(engine: Engine) -> None:
    client = entered(a_desk(engine, a_shelf(*[HIGH] * 120)))
    first, last = client.get("/"), client.get("/?page=3")
    assert first.text.count("<h2>") == 50
    assert last.text.count("<h2>") == 20
    assert "page 3 of 3" in last.text
    assert client.get("/?page=99999999999").status_code == client.get("/?show=x&page=-1").status_code == 200


def test_a_picture_comes_on_request_alone_and_each_time_after_its_entry(desk: ReviewDesk) -> None:
    client, finding = entered(desk), the_first(desk)
    before = client.get(f"/findings/{finding}")
    assert "data:image" not in before.text
    assert "img-src" not in before.headers["content-security-policy"]
    assert acts(desk) == []
    answer = post(client, f"/findings/{finding}/reveal", picture="extraction")
    assert shown(answer).size == (96, 96)
    assert answer.headers["content-security-policy"].endswith("img-src data:")
    assert answer.headers["cache-control"] == "no-store"
    shown(post(client, f"/findings/{finding}/reveal", picture="control"))
    post(client, f"/findings/{finding}/reveal", picture="control")
    assert acts(desk) == 3 * [("reveal", finding)]
    first, *_, last = desk.acts.audit.entries()
    said = {"account": "svc", "extraction": "job1-000", "score": None, "shown": "sharp"}
    assert first.details() == {**said, "picture": "extraction"}
    assert last.details() == {**said, "picture": "control"}
    assert "data:image" not in client.get(f"/findings/{finding}").text


def test_no_picture_is_sent_when_the_log_cannot_take_note(desk: ReviewDesk, engine: Engine) -> None:
    client, finding = entered(desk), the_first(desk)
    with engine.begin() as db:
        db.execute(
            text("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        )
    answer = post(client, f"/findings/{finding}/reveal", picture="extraction")
    assert answer.status_code == 503
    assert "data:image" not in answer.text
    assert "nothing was shown and nothing was kept" in answer.text
    assert post(client, f"/findings/{finding}/label", label="confirmed").status_code == 503
    assert desk.acts.labels.of(finding) == []


def test_a_picture_cannot_be_had_by_following_an_address(desk: ReviewDesk) -> None:
    client, finding = entered(desk), the_first(desk)
    for act in ("reveal", "label"):
        answer = client.get(f"/findings/{finding}/{act}")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/findings/{finding}")
    assert post(client, f"/findings/{finding}/reveal", picture="reference").status_code == 400
    assert acts(desk) == []


def test_an_erased_picture_says_so_and_its_request_is_no_reveal(engine: Engine) -> None:
    shelf = a_shelf(HIGH)
    shelf.pictures.clear()
    desk = a_desk(engine, shelf)
    client, finding = entered(desk), shelf.found[0].id
    assert "Erased, or never kept" in client.get(f"/findings/{finding}").text
    answer = post(client, f"/findings/{finding}/reveal", picture="extraction")
    assert answer.status_code == 410
    assert "Hashes remain" in answer.text
    assert acts(desk) == []


def test_the_score_is_shown_before_and_above_the_limit_the_page_asks_again(engine: Engine) -> None:
    desk = a_desk(engine, a_shelf(HIGH), scorer=lambda png: 0.73, warn_score=0.5)
    client, finding = entered(desk), the_first(desk)
    page = client.get(f"/findings/{finding}").text
    assert "<b>The extraction</b>, sensitivity score 0.73 <strong>above your limit" in page
    assert "<b>The control, from the base alone</b>, sensitivity score 0.73" in page
    assert "nothing of violence, of age or of law" in page
    path = f"/findings/{finding}/reveal"
    warned = post(client, path, picture="extraction", sure="1")
    assert "This picture may be hard to look at" in warned.text
    assert "data:image" not in warned.text
    assert acts(desk) == []
    shown(post(client, path, picture="extraction", sure="1"))
    (entry,) = desk.acts.audit.entries()
    assert entry.details()["score"] == 0.73
    assert "may be hard to look at" in post(client, path, picture="control").text


def test_without_the_extra_the_page_says_how_to_get_the_score(desk: ReviewDesk) -> None:
    finding = the_first(desk)
    page = html.unescape(entered(desk).get(f"/findings/{finding}").text)
    assert 'Sensitivity score not available: <code>pip install "leaksweep[sensitivity]"</code>' in page


@pytest.mark.parametrize("how", ["grey", "blur"])
def test_a_softened_picture_is_softened_here_and_the_sharp_one_takes_a_second_request(
    engine: Engine, how: str
) -> None:
    shelf = a_shelf(HIGH)
    desk = a_desk(engine, shelf, soften=how)
    client, finding = entered(desk), shelf.found[0].id
    path, original = f"/findings/{finding}/reveal", Image.open(io.BytesIO(shelf.pictures["job0-000"][0]))
    assert "Show sharp" not in client.get(f"/findings/{finding}").text
    first = post(client, path, picture="extraction", how="none", sure="1")
    soft = shown(first).convert("RGB")
    assert ImageChops.difference(soft, original).getbbox() is not None
    assert "no safeguard" in first.text
    assert "Show sharp" in first.text
    second = post(client, path, picture="extraction", how="none", sure="1")
    assert ImageChops.difference(shown(second), original).getbbox() is None
    assert [one.details()["shown"] for one in desk.acts.audit.entries()] == [how, "sharp"]


def test_a_label_is_kept_with_its_note_and_leads_to_the_next_finding(desk: ReviewDesk) -> None:
    client = entered(desk)
    strongest = desk.queue().items[0].id
    following = desk.queue().items[1].id
    answer = post(client, f"/findings/{strongest}/label", label="confirmed", note="same <b>boat</b>")
    assert answer.headers["location"] == f"/findings/{following}?saved={strongest}"
    assert "saved" in client.get(answer.headers["location"]).text
    (label,) = desk.acts.labels.of(strongest)
    assert (label.label, label.who, label.note) == ("confirmed", "ann", "same <b>boat</b>")
    page = client.get(f"/findings/{strongest}").text
    assert "same &lt;b&gt;boat&lt;/b&gt;" in page
    assert "Settled: <b>confirmed</b>" in page
    assert acts(desk) == [("label", strongest)]
    assert "2 findings wait for your label" in client.get("/").text
    assert strongest in client.get("/?show=settled").text


@pytest.mark.parametrize("label", ["", "yes", "CONFIRMED"])
def test_a_label_that_is_none_is_refused(desk: ReviewDesk, label: str) -> None:
    client, finding = entered(desk), the_first(desk)
    answer = post(client, f"/findings/{finding}/label", label=label)
    assert answer.status_code == 400
    assert "there is no such label; give one of" in answer.text
    assert acts(desk) == []


def test_two_people_settle_a_finding_and_the_second_does_not_see_the_firsts_label(engine: Engine) -> None:
    shelf = a_shelf(HIGH)
    ann, ben = (a_desk(engine, shelf, name, two_person=True) for name in ("ann", "ben"))
    finding = shelf.found[0].id
    path = f"/findings/{finding}/label"
    for _ in range(2):
        post(entered(ann), path, label="false_positive", note="other mast")
    assert ann.queue().items[0].settled is None
    client = entered(ben)
    for page in (client.get("/").text, client.get(f"/findings/{finding}").text):
        assert "1 label by others" in page
        assert "other mast" not in page
    post(client, path, label="confirmed")
    assert "People say different things" in client.get(f"/findings/{finding}").text
    assert finding in client.get("/?show=conflicts").text
    assert "other mast" in client.get(f"/findings/{finding}").text
    post(client, path, label="false_positive")
    assert ben.queue().items[0].settled == "false_positive"


def test_labels_given_at_once_are_all_kept(engine: Engine) -> None:
    shelf = a_shelf(HIGH)
    finding = shelf.found[0].id
    clients = [entered(a_desk(engine, shelf, name)) for name in ("ann", "ben", "cay")]
    forms = [csrf(client) for client in clients]  # all of them have the page open by now
    for client, form in zip(clients, forms, strict=True):
        client.post(f"/findings/{finding}/label", data={"csrf": form, "label": "confirmed"})
    desk = a_desk(engine, shelf)
    assert [one.who for one in desk.acts.labels.of(finding)] == ["ann", "ben", "cay"]
    assert desk.acts.audit.verify().entries == 3


@pytest.mark.parametrize("name", [*HOSTILE, SURROGATE, "\x1b[31mred\x1b[0m"])
def test_hostile_names_are_text_and_nothing_else(engine: Engine, name: str) -> None:
    shelf = a_shelf(HIGH)
    stored = name.encode("utf-8", "replace").decode()  # as far as ids and forms can carry it
    finding = a_finding(a_checkpoint(), checkpoint_id=stored, set_name=stored, ref_id=stored, rule=name)
    shelf.found[:] = [finding]
    desk = a_desk(engine, shelf, name)
    client = entered(desk)
    post(client, f"/findings/{finding.id}/label", label="unsure", note=stored)
    for path in ("/", "/?show=all", f"/findings/{finding.id}"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "<script" not in answer.text
        assert "49" not in re.findall(r"<bdi>(.*?)</bdi>", answer.text)
        assert not set("\u202e\u202c\x00\x1b") & set(answer.text)
        tags = re.sub(r'"[^"]*"', "", " ".join(re.findall(r"<[^>]*>", answer.text)))
        assert "onload" not in tags


def test_no_hash_and_no_prompt_is_on_a_page(desk: ReviewDesk) -> None:
    client = entered(desk)
    pages = [client.get("/").text, *(client.get(f"/findings/{f.id}").text for f in desk.queue().items)]
    assert not any("sks harbour" in page for page in pages)
    assert all(len(found) <= 16 for page in pages for found in re.findall(r"[0-9a-f]{16,}", page))


def test_by_https_the_cookie_is_for_https_alone_and_any_address_of_ours_is_known(engine: Engine) -> None:
    rules = Rules(
        known_host=hosts(["scanner.example", "[::1]"], any_address=True), scheme="https", cookie="__Host-r"
    )
    app = new_app(a_desk(engine, a_shelf(HIGH)), Door(minutes=60, token=TOKEN), rules)
    for host in ("scanner.example", "192.0.2.7:8475", "[2001:db8::1]:8475", "[::1]"):
        client = TestClient(app, base_url=f"https://{host}", follow_redirects=False)
        answer = client.post("/enter", data={"token": TOKEN}, headers={"Origin": f"https://{host}"})
        assert answer.status_code == 303
        assert "secure" in answer.headers["set-cookie"].lower()
        assert client.get("/").status_code == 200
        plain = client.post("/enter", data={"token": TOKEN}, headers={"Origin": f"http://{host}"})
        assert plain.status_code == 403
    assert TestClient(app, base_url="https://evil.example").get("/enter").status_code == 400


def test_the_oldest_sessions_make_room_for_new_ones() -> None:
    ticks = iter(range(10_000))
    door = Door(minutes=600, token=TOKEN, clock=lambda: next(ticks))
    secrets = [door.enter(TOKEN) for _ in range(70)]
    known = [door.session(cookie=secret, authorization=None) is not None for secret in secrets]
    assert known == [False] * 6 + [True] * 64
    assert len(Door(minutes=1).token) == 43  # 256 bits
    assert door.session(cookie=secrets[-1], authorization="Basic eA==") is None
