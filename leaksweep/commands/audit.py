"""`leaksweep audit`: the log of who looked at what and who decided what."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crawler.evidence.plain_text import printable
from leaksweep.commands.help_text import examples
from leaksweep.run import Run, command
from leaksweep.settings import SettingsError
from leaksweep.summaries import CLEAN, INCOMPLETE

if TYPE_CHECKING:
    from leaksweep.stores import Stores
    from reports.custody.audit import Entry

WHAT = "head of an audit log"

app = typer.Typer(name="audit", help="The audit log: list, head, verify.", no_args_is_help=True)


@app.command("list", epilog=examples("leaksweep audit list", "leaksweep audit list --about 3f9a0c1d2e4b5a67"))
@command
def list_(
    run: Run,
    about: Annotated[
        str | None, typer.Option("--about", metavar="ID", help="One finding, extraction, checkpoint or set.")
    ] = None,
) -> int:
    """List the entries, the oldest first."""
    from leaksweep.stores import opened

    with opened(run) as stores:
        entries = list(stores.audit.entries(about))
    rows = [{**asdict(one), "detail": one.details()} for one in entries]
    run.finish(
        {"entries": rows}, "\n".join(printable(_line(one)) for one in entries) or "the log has no entries"
    )
    return CLEAN


@app.command(epilog=examples("leaksweep audit head", "leaksweep audit head --out head.json"))
@command
def head(
    run: Run,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write it to a file; default: stdout.")
    ] = None,
) -> int:
    """Print the log's last entry, signed. Kept elsewhere, it proves later that no end was cut off."""
    from leaksweep.stores import opened
    from reports.custody.receipt import signed
    from reports.export.files import write_atomically

    with opened(run) as stores:
        last = stores.audit.head()
        if last is None:
            raise SettingsError("the log has no entries yet, so it has no head")
        content = {"what": WHAT, "seq": last.seq, "at": last.at, "digest": last.digest}
        receipt = signed(content, stores.vault)
    if out is None:
        print(receipt, end="")
    else:
        write_atomically(out, receipt.encode())
        run.finish({"file": str(out), **content}, f"{out}: signed head, entry {last.seq}; keep it elsewhere")
    return CLEAN


@app.command(epilog=examples("leaksweep audit verify", "leaksweep audit verify --head head.json"))
@command
def verify(
    run: Run,
    head: Annotated[
        Path | None, typer.Option("--head", metavar="FILE", help="What `audit head` printed before.")
    ] = None,
) -> int:
    """See whether any entry was changed, taken out or moved; exit code 2 when one was."""
    from leaksweep.stores import opened
    from reports.custody.succession import signer_text

    with opened(run) as stores:
        kept, signed_by = _kept(head, stores) if head else (None, None)
        check = stores.audit.verify(kept)
    summary: dict[str, Any] = {"whole": check.whole, "entries": check.entries, "digest": check.head}
    if signed_by:
        summary["signed_by"] = signed_by
    if check.fault:
        summary["fault"] = asdict(check.fault)
        trusted = f"{check.entries} entries before it hold" if check.entries else "no entry before it"
        run.finish(summary, f"broken: {check.fault.text} ({trusted})")
        return INCOMPLETE
    seen = (
        f"; the head{signer_text(signed_by)} is in it"
        if signed_by
        else "; only a head that is kept elsewhere shows a cut at the end (leaksweep audit head)"
    )
    run.finish(summary, f"whole: {check.entries} entries{seen}")
    return CLEAN


def _kept(path: Path, stores: Stores) -> tuple[str, dict[str, Any]]:
    """The digest of a head that was kept elsewhere, and which key signed it."""
    from reports.custody.receipt import check
    from reports.custody.succession import signer

    content = check(path, stores.vault, what=WHAT, earlier=stores.earlier_keys)
    return str(content["digest"]), signer(content, stores.earlier_keys)


def _line(one: Entry) -> str:
    details = ", ".join(f"{name} {value}" for name, value in one.details().items() if value is not None)
    return f"{one.seq}  {one.at[:19]}  {one.who}  {one.act}  {one.subject}  {details}".rstrip()
