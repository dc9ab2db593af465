"""`wattseal demo`: five real charging sessions through plug, relay, gateway and chain, all on this machine."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer


def demo(
    folder: Annotated[Path, typer.Option(help="Where logs, store, summary.json and report.html go. An earlier demo there is removed.")] = Path(
        "build/demo"
    ),
) -> None:
    """Replay five real charging sessions: one simulated plug with the real firmware, relay, gateway and an anvil chain.

    Prints a table, and writes summary.json and report.html. Exits with 1 if anything was over-billed or not proven.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from wattseal.demo import charges, report
    from wattseal.demo.replay import Replay, write_summary
    from wattseal.gateway.header import TrustedRpcHeaders

    console = Console()
    visits = charges.load(5)
    outcomes = []
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f} Wh"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        total = progress.add_task("starting chain, relay and plug", total=sum(visit.energy_wh for visit in visits))

        def advance(before_wh: float, wh: float) -> None:
            progress.update(total, completed=before_wh + wh)

        with Replay(folder.resolve(), visits[0].arrival) as replay:
            done_wh = 0
            for number, visit in enumerate(visits, 1):
                progress.update(total, description=f"session {number} of {len(visits)}")
                outcomes.append(replay.replay(visit, partial(advance, done_wh)))
                done_wh += visit.energy_wh
        progress.update(total, completed=done_wh)
    result = write_summary(folder / "summary.json", outcomes)
    report.write_page(folder / "report.html", outcomes, result, TrustedRpcHeaders.basis)
    console.print(report.table(outcomes))
    console.print(f"over-billed: {result['over_billed_wh']} Wh    proofs: {TrustedRpcHeaders.basis}")
    console.print(f"{folder / 'summary.json'}    {folder / 'report.html'}")
    if not result["ok"]:
        raise typer.Exit(1)
