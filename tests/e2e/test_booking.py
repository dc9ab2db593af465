"""What the whole firmware books of what its meter counts: nothing while the contacts are open, and what flows back apart from the bill."""

import os
import subprocess
import tomllib
from pathlib import Path

from wattseal.demo.processes import ROOT

from tests.e2e.bench import Bench

PRINT_SAMPLE = """
import esp32
from plug.ledger import Ledger
from plug.storage.journal import Journal
sample = Ledger(Journal(esp32.Partition.find(esp32.Partition.TYPE_DATA, label="journal")[0])).sample()
print(sample.total_mwh, sample.reverse_mwh)
"""


class Board(Bench):
    """A bench that reads the register in the status and in the journal."""

    def register_mwh(self, seconds: int) -> int:
        """Let time pass; return the register in the newest status."""
        self.plug.run(seconds)
        self.connection.settimeout(0.5)
        register_mwh = -1
        try:
            while True:
                register_mwh = self.expect("status")["register_mwh"]
        except TimeoutError:
            self.connection.settimeout(20)
            self.lines = self.connection.makefile("rb")
        return register_mwh

    def journalled(self) -> tuple[int, int]:
        """Return total and reverse mWh from the journal of a plug that is gone."""
        environment = os.environ | {"MICROPYPATH": f"{ROOT / 'firmware/sim'}:{ROOT / 'build/firmware' / self.board / 'x64'}:.frozen"}
        command = [str(ROOT / "build/bin/micropython-x64"), "-c", PRINT_SAMPLE]
        done = subprocess.run(command, cwd=self.folder / "flash", env=environment, check=True, capture_output=True, text=True)
        total_mwh, reverse_mwh = done.stdout.split()
        return int(total_mwh), int(reverse_mwh)


def front_end(board: str) -> dict[str, int]:
    meter = tomllib.loads((ROOT / "firmware/boards" / f"{board}.toml").read_text())["meter"]
    return {name: meter[name] for name in ("shunt_uohm", "divider_upper_ohm", "divider_lower_ohm")}


def test_what_is_counted_while_the_contactor_is_released_is_not_booked(tmp_path: Path) -> None:
    """A board without load sense cannot know that its contacts have welded: the car goes on drawing, and nobody is billed."""
    bench = Board(tmp_path, "bl0942_10a")
    try:
        session = bench.start(pricePerKwh=0)  # such a board serves no other
        bench.plug.ask(cmd="plug_in", energy_wh=5000, current_ma=8_000)
        charged_mwh = bench.register_mwh(125)
        assert charged_mwh > 40_000
        bench.plug.ask(cmd="contactor", line="welded", neutral="welded")
        bench.stop(session)
        stopped_mwh = bench.register_mwh(65)
        before = bench.plug.ask(cmd="state")["true_mwh"]
        later_mwh = bench.register_mwh(125)
        assert bench.plug.ask(cmd="state")["true_mwh"] - before > 50_000  # it does flow, and the meter sees it
        assert later_mwh == stopped_mwh
    finally:
        bench.plug.kill()
        bench.server.close()


def test_energy_that_flows_back_is_journalled_apart_and_takes_nothing_from_the_bill(tmp_path: Path) -> None:
    """A current transformer the wrong way round: all that the meter sees flows back."""
    bench = Board(tmp_path, "desk_16a", settings={"front_end": front_end("desk_16a") | {"gain_error_ppm": -2_000_000}})
    try:
        bench.start()
        bench.plug.run(120)
        true_mwh = bench.plug.ask(cmd="state")["true_mwh"]
        assert true_mwh > 100_000
    finally:
        bench.plug.kill()
        bench.server.close()
    total_mwh, reverse_mwh = bench.journalled()
    assert total_mwh == 0
    assert 0.4 * true_mwh < reverse_mwh <= true_mwh  # as of the last time it was journalled
