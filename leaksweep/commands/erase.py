"""`leaksweep erase` and `hold`: what goes for good, and what may not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crawler.evidence.plain_text import printable
from leaksweep.commands.help_text import examples
from leaksweep.operator_name import operator
from leaksweep.run import Run, command
from leaksweep.settings import SettingsError

if TYPE_CHECKING:
    from leaksweep.stores import Stores

Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason; it is kept on record.")]


@command
def erase(
    run: Run,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="An extraction, a finding, a checkpoint or a repository."),
    ] = None,
    older_than: Annotated[
        int | None,
        typer.Option("--older-than", min=0, metavar="DAYS", help="All extractions made so many days ago."),
    ] = None,
    set_: Annotated[
        str | None,
        typer.Option("--set", metavar="NAME", help="A reference set, and all found with it."),
    ] = None,
    why: Why = "",
    go_on: Annotated[
        bool, typer.Option("--go-on", help="End erasures that were cut off; every sweep does so, too.")
    ] = False,
    check: Annotated[
        Path | None, typer.Option("--check", metavar="RECEIPT", help="See whether a receipt is genuine.")
    ] = None,
) -> int:
    """Erase pictures, hashes, descriptors and findings for good, with proof and a signed receipt."""
    from leaksweep.erasing import eraser_of, extractions_of, told
    from leaksweep.erasing import older_than as found_older
    from leaksweep.stores import opened

    if sum([name is not None, older_than is not None, set_ is not None, go_on, check is not None]) != 1:
        raise SettingsError(
            "erase: say one of an ID, --older-than DAYS, --set NAME, --go-on, --check RECEIPT"
        )
    with opened(run) as stores:
        if check is not None:
            return _check(run, check, stores)
        eraser = eraser_of(stores)
        ended = eraser.go_on()
        who = operator()
        if set_ is not None:
            ended.append(eraser.erase_set(set_, who=who, why=why))
        elif name is not None:
            ended.append(eraser.erase_extractions(name, extractions_of(stores, name), who=who, why=why))
        elif older_than is not None:
            gone, held = found_older(stores, older_than, datetime.now(UTC))
            subject = f"older than {older_than} days"
            ended.append(eraser.erase_extractions(subject, gone, who=who, why=why))
            if held:
                run.say(f"{len(held)} extractions are under a legal hold and stay")
    said = [told(one) for one in ended]
    run.finish(
        {"erased": [content for content, _ in said]}, "\n".join(text for _, text in said) or "nothing to end"
    )
    return 0


@command
def hold(
    run: Run,
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]", help='An extraction, finding or checkpoint, or "set NAME"; none: list.'
        ),
    ] = None,
    why: Why = "",
    release: Annotated[bool, typer.Option("--release", help="End the hold.")] = False,
) -> int:
    """Keep something whatever retention and erasure say, until it is released."""
    from dataclasses import asdict

    from leaksweep.stores import opened

    with opened(run) as stores:
        if subject is None:
            listed = stores.holds.all()
            lines = [
                f"{one.at[:10]}  {one.subject}  {one.why}  (by {one.who})"
                + (f", released {one.released_at[:10]} by {one.released_by}" if one.released_at else "")
                for one in listed
            ]
            run.finish(
                {"holds": [asdict(one) for one in listed]},
                "\n".join(map(printable, lines)) or "nothing is held",
            )
            return 0
        holds, audit, who = stores.holds, stores.audit, operator()
        with stores.engine.begin() as db:
            if release:
                holds.release(db, subject, who)
                audit.append(who, "release", subject, db=db)
            else:
                holds.put(db, subject, who, why)
                audit.append(who, "hold", subject, {"why": why.strip()}, db=db)
    run.finish(
        {"subject": subject, "held": not release},
        f"{printable(subject)}: {'released' if release else 'held'}",
    )
    return 0


def _check(run: Run, path: Path, stores: Stores) -> int:
    from reports.custody.erasing import WHAT
    from reports.custody.receipt import check as genuine
    from reports.custody.succession import signer, signer_text

    content = genuine(path, stores.vault, what=WHAT, earlier=stores.earlier_keys)
    signed_by = signer(content, stores.earlier_keys)
    run.finish(
        {"genuine": True, "signed_by": signed_by, "receipt": content},
        f"{path}: genuine{signer_text(signed_by)}. {content['subject']} was erased on {content['ended_at']}, "
        f"asked by {content['asked_by']}: {content['why']}",
    )
    return 0


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples(
            "leaksweep erase 3f9a0c1d2e4b5a67 --why 'asked by the person shown'",
            "leaksweep erase --older-than 365 --why 'retention'",
            "leaksweep erase --set hotline --why 'agreement ended'",
            "leaksweep erase --check .leaksweep/receipts/erasure-000001.json",
        )
    )(erase)
    app.command(
        epilog=examples(
            "leaksweep hold 3f9a0c1d2e4b5a67 --why 'court order 12/26'",
            "leaksweep hold 3f9a0c1d2e4b5a67 --release",
            "leaksweep hold",
        )
    )(hold)
