"""`leaksweep refs withdraw`, `restore`, `withdrawn`: single references that are not looked for any more."""

from __future__ import annotations

from typing import Annotated

import typer

from crawler.evidence.plain_text import printable
from leaksweep.commands.help_text import examples
from leaksweep.run import Run, command
from leaksweep.settings import SettingsError

Set = Annotated[str, typer.Argument(metavar="SET", help="The reference set.")]
Reference = Annotated[
    str,
    typer.Argument(
        metavar="REF", help="The reference, as a finding names it: a file's path, or an entry's id or number."
    ),
]


@command
def withdraw(
    run: Run,
    set_name: Set,
    reference: Reference,
    reason: Annotated[
        str,
        typer.Option("--reason", metavar="TEXT", help="Why; kept with the act, and told with the finding."),
    ] = "",
) -> int:
    """Stop looking for one reference, from the next match on; findings against it become withdrawn."""
    from leaksweep.operator_name import operator
    from leaksweep.reference_text import withdrawal_row
    from leaksweep.stores import opened

    why = reason.strip()
    if not why:
        raise SettingsError(f'{reference}: say why with --reason "..."; whoever reads the reports will ask')
    who = operator()
    with opened(run) as stores:
        # Opened before: each makes its tables then, and a transaction would stand in its way.
        references, audit = stores.references, stores.audit
        with stores.engine.begin() as db:
            # The log first: it holds all other writers off until both are written.
            audit.append(who, "withdraw", f"{set_name}/{reference}", {"why": why}, db=db)
            done = references.withdraw(set_name, reference, who, why, db=db)
    run.finish(
        withdrawal_row(done),
        f"{set_name}: {printable(reference)} is withdrawn; findings against it say so with the next match",
    )
    return 0


@command
def restore(run: Run, set_name: Set, reference: Reference) -> int:
    """Look again for a reference that a person withdrew."""
    from leaksweep.operator_name import operator
    from leaksweep.stores import opened

    with opened(run) as stores:
        references, audit = stores.references, stores.audit
        with stores.engine.begin() as db:
            audit.append(operator(), "restore", f"{set_name}/{reference}", db=db)
            references.restore(set_name, reference, db=db)
    run.finish(
        {"set_name": set_name, "ref_id": reference, "restored": True},
        f"{set_name}: {printable(reference)} is looked for again, from the next match on",
    )
    return 0


@command
def withdrawn(run: Run) -> int:
    """List what is withdrawn: when, by whom and why. "list NAME": the set's own list withdrew it."""
    from leaksweep.reference_text import withdrawal_line, withdrawal_row
    from leaksweep.stores import opened

    found = []
    if run.home.references.exists():
        with opened(run) as stores:
            found = [one for _, one in sorted(stores.references.withdrawn().items())]
    run.finish(
        {"withdrawn": [withdrawal_row(one) for one in found]},
        "\n".join(map(withdrawal_line, found)) or "nothing is withdrawn",
    )
    return 0


def register(app: typer.Typer) -> None:
    """Add the three to `leaksweep refs`."""
    app.command(
        epilog=examples(
            "leaksweep refs withdraw hotline 42-a17 --reason 'its giver says it was a mistake'",
            "leaksweep refs withdraw artist sea/7.png --reason 'asked by the person shown'",
        )
    )(withdraw)
    app.command(epilog=examples("leaksweep refs restore hotline 42-a17"))(restore)
    app.command(epilog=examples("leaksweep refs withdrawn", "leaksweep refs withdrawn --json"))(withdrawn)
