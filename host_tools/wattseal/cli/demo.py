"""`wattseal demo`: five real charging sessions through plug, relay, gateway and chain, all on this machine."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattseal.demo.lies import Forged
from wattseal.errors import ProofError

if TYPE_CHECKING:
    from rich.console import Console

    from wattseal.demo.replay import Replay

EXAMPLES = """
Examples:

  wattseal demo

  wattseal demo --lie receipt

  wattseal demo --lie header --no-failover

Exit codes: 0 all paid and proven, 1 something was not (one line on stderr says what), 2 wrong usage.
"""


def demo(
    folder: Annotated[Path, typer.Option(help="Where logs, store, summary.json and report.html go. An earlier demo there is removed.")] = Path(
        "build/demo"
    ),
    lie: Annotated[Forged | None, typer.Option(help="Replay one session over an upstream that forges this; an honest one stands behind it.")] = None,
    no_failover: Annotated[bool, typer.Option("--no-failover", help="With --lie: no honest upstream. Ends with an error, as it must.")] = False,
) -> None:
    """Replay five real charging sessions: one simulated plug with the real firmware, relay, gateway and an anvil chain.

    Headers are those that the committee of a simulated beacon chain signs, so relay and driver verify all that they would on a real chain.

    Prints a table, and writes summary.json and report.html. Exits with 1 if anything was over-billed, or not proven, or is not final.
    """
    if no_failover and lie is None:
        raise typer.BadParameter("is of no use without --lie", param_hint="--no-failover")

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from wattseal.demo import charges, report
    from wattseal.demo.replay import Replay, write_summary

    console = Console()
    visits = charges.load(5) if lie is None else charges.load(2)[1:]
    outcomes = []
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f} Wh"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        total = progress.add_task("starting chain, relay and plug", total=sum(visit.energy_wh for visit in visits))

        def advance(before_wh: float, wh: float) -> None:
            progress.update(total, completed=before_wh + wh)

        with Replay(folder.resolve(), visits[0].arrival, forged=lie, alone=no_failover) as replay:
            done_wh = 0
            for number, visit in enumerate(visits, 1):
                progress.update(total, description=f"session {number} of {len(visits)}")
                outcome = replay.deliver(visit, partial(advance, done_wh))
                if lie is not None:
                    _show_refusal(console, replay, no_failover)
                outcome.settlement = replay.settled(outcome.session)
                outcomes.append(outcome)
                done_wh += visit.energy_wh
                console.print(f"session {number}: {report.coins(outcome)} paid in block {outcome.settlement['block_number']}, not final yet")
            progress.update(total, completed=done_wh, description="waiting until all is final")
            for outcome in outcomes:
                replay.wait_until_final(outcome)
            basis = replay.verified.basis
    result = write_summary(folder / "summary.json", outcomes, basis)
    report.write_page(folder / "report.html", outcomes, result)
    console.print(report.table(outcomes))
    console.print(f"over-billed: {result['over_billed_wh']} Wh    proofs: {basis}", soft_wrap=True)
    console.print(f"{folder / 'summary.json'}    {folder / 'report.html'}", soft_wrap=True)
    if not result["ok"]:
        raise typer.Exit(1)


def _show_refusal(console: "Console", replay: "Replay", alone: bool) -> None:
    """Say who forged what and what refused it. Raises ProofError where the relay has nobody else to ask."""
    refusal = replay.refusal()
    if alone:
        raise ProofError(f"{refusal}. The relay has no other upstream, so it believes nothing and counts nothing as paid; give it another --rpc")
    console.print(f"{refusal}. The next upstream is asked instead.", soft_wrap=True, highlight=False)
