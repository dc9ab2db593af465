"""What a person sees of the demo: a table in the terminal and one page with plots."""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from rich.box import SIMPLE_HEAD
from rich.table import Table

from wattseal.demo.processes import ROOT
from wattseal.demo.replay import METER_ERROR_PPM, Outcome

WEI = 10**18
UPLOT = ROOT / "build/npm/node_modules/uplot/dist"


def table(outcomes: list[Outcome]) -> Table:
    """Return the sessions as a rich table."""
    charges = "Five charges" if len(outcomes) == 5 else "A charge"
    result = Table(title=f"{charges}, metered, signed and paid", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
    for column in ("session", "true Wh", "metered", "billed", "paid", "gas", "proven", "final"):
        result.add_column(column, justify="left" if column == "session" else "right", no_wrap=True)
    for outcome in outcomes:
        settlement = outcome.settlement
        result.add_row(
            outcome.session[:8],
            f"{outcome.true_wh:,.1f}",
            f"{outcome.metered_wh:,.1f}",
            f"{outcome.billed_wh:,}",
            coins(outcome),
            f"{settlement['gas_used']:,}",
            "yes" if settlement["proof_verified"] else "NO",
            "yes" if outcome.final else "NO",
        )
    return result


def coins(outcome: Outcome) -> str:
    """Return what a session was paid, in the native coin."""
    return f"{outcome.settlement['paid'] / WEI:.6f}"


def write_page(path: Path, outcomes: list[Outcome], result: dict[str, Any]) -> None:
    """Write the report: one self-contained HTML page, plots of power and receipts over time."""
    charts = [_chart(outcome) for outcome in outcomes]
    rows = [
        {
            "session": outcome.session,
            "station": outcome.charge.station,
            "receipts": len(outcome.receipts),
            "paid_coin": f"{entry['paid'] / WEI:.9f}",
            **entry,
        }
        for outcome, entry in zip(outcomes, result["sessions"], strict=True)
    ]
    environment = Environment(loader=PackageLoader("wattseal.demo", "."), autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("report.html").render(
        rows=rows,
        result=result,
        error_percent=METER_ERROR_PPM / 10_000,
        charts=json.dumps(charts).replace("<", "\\u003c"),
        uplot_script=(UPLOT / "uPlot.iife.min.js").read_text(),
        uplot_style=(UPLOT / "uPlot.min.css").read_text(),
    )
    path.write_text(page)


def _chart(outcome: Outcome) -> dict[str, Any]:
    """Return one session's columns: times, power in W, energy of the receipt signed at that time in Wh."""
    receipts = dict(outcome.receipts)
    power = dict(outcome.power)
    times = sorted(receipts.keys() | power.keys())
    return {
        "title": f"{outcome.session[:10]}  {outcome.charge.energy_wh / 1000:.3f} kWh at {outcome.charge.station}",
        "data": [times, [power.get(at) for at in times], [receipts.get(at) for at in times]],
    }
