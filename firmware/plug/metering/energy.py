"""The lifetime energy register: from the meter's counts to mWh, in integers and without loss."""


class EnergyRegister:
    """Counts become energy at the exact ratio `energy_per_count_num / energy_per_count_den` mWh.

    `total_mwh`, what flowed to the car, and `reverse_mwh`, what flowed back, start at the given values, never decrease, and are kept
    apart. Both are rounded down; what is left of a mWh is carried to the next call. Raises ValueError for a
    negative total or a ratio that is not positive.
    """

    def __init__(self, total_mwh, energy_per_count_num, energy_per_count_den, reverse_mwh=0):
        if total_mwh < 0 or reverse_mwh < 0:
            raise ValueError(f"totals are {total_mwh} and {reverse_mwh} mWh: an energy register is never negative")
        if energy_per_count_num <= 0 or energy_per_count_den <= 0:
            raise ValueError(f"energy per count is {energy_per_count_num}/{energy_per_count_den} mWh: must be positive")
        self.total_mwh = total_mwh
        self.reverse_mwh = reverse_mwh
        self._num = energy_per_count_num
        self._den = energy_per_count_den
        self._rest = 0  # of a mWh, times the denominator
        self._reverse_rest = 0

    def add(self, counts):
        """Book signed energy counts, as a meter's take_counts() returns them."""
        if counts >= 0:
            whole_mwh, self._rest = divmod(self._rest + counts * self._num, self._den)
            self.total_mwh += whole_mwh
        else:
            whole_mwh, self._reverse_rest = divmod(self._reverse_rest - counts * self._num, self._den)
            self.reverse_mwh += whole_mwh

    def wh_floor(self):
        """Return the total in Wh, rounded down: what a session's end may claim."""
        return self.total_mwh // 1000

    def wh_ceil(self):
        """Return the total in Wh, rounded up: what a session starts from."""
        return -(-self.total_mwh // 1000)
