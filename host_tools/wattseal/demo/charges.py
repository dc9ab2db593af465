"""Real charging sessions to replay: the Caltech garage, March 2019 (data/README.md has source and licence)."""

import csv
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

DATA = Path(__file__).parent / "data" / "caltech_2019_03.csv"


@dataclass(frozen=True)
class Charge:
    """One visit: UTC seconds of arrival and departure, and the energy that the car took."""

    station: str
    arrival: int
    departure: int
    energy_wh: int


def load(count: int) -> list[Charge]:
    """Return the first `count` visits in order of arrival."""
    with DATA.open(newline="") as file:
        charges = [
            Charge(
                row["station"],
                int(datetime.fromisoformat(row["arrival"]).timestamp()),
                int(datetime.fromisoformat(row["departure"]).timestamp()),
                int(Decimal(row["energy_kwh"]) * 1000),
            )
            for row in csv.DictReader(file)
        ]
    return sorted(charges, key=lambda charge: charge.arrival)[:count]
