"""The contactor: a coil that moves two poles, line and neutral, which may bounce, weld or stay open."""

CONDITIONS = ("ok", "welded", "stuck_open")


class Contactor:
    """`line` and `neutral` tell whether each pole conducts, `is_pulled` whether the coil has current. `before_move()` is called before a pole changes
    and returns the current through it, `after_move()` after.

    `openings` counts the times that current was interrupted by the contacts, `opening_ma` is the current of the last one.
    """

    def __init__(self, settings, agenda, before_move, after_move):
        self.close_ms, self.open_ms, self.bounce_ms = settings["close_ms"], settings["open_ms"], settings["bounce_ms"]
        self.conditions = ["ok", "ok"]  # line, neutral
        self.line = self.neutral = False
        self.openings = self.opening_ma = 0
        self._agenda = agenda
        self._before_move, self._after_move = before_move, after_move
        self.is_pulled = False
        self._touching = False

    def drive(self, pulled, now_us):
        """Give the coil current or take it away; the armature follows after its delay, or stays if that comes too soon."""
        if pulled == self.is_pulled:
            return
        self.is_pulled = pulled
        if self._agenda.due_us("bounce") is None and pulled == self._touching:
            self._agenda.cancel("contactor")
            return
        delay_ms = self.close_ms if pulled else self.open_ms
        if delay_ms:
            self._agenda.set("contactor", now_us + delay_ms * 1000, lambda: self._arrive(now_us + delay_ms * 1000))
        else:
            self._arrive(now_us)

    def check_conditions(self, *conditions):
        """Raise ValueError for what is neither None nor one of CONDITIONS."""
        for condition in conditions:
            if condition is not None and condition not in CONDITIONS:
                raise ValueError("a pole is one of {}, not {!r}".format(", ".join(CONDITIONS), condition))

    def set_condition(self, line=None, neutral=None):
        """Set what is wrong with the poles, each one of CONDITIONS or None for no change; a welded pole conducts at once, a stuck one never.
        Raises ValueError.
        """
        self.check_conditions(line, neutral)
        self.conditions = [line or self.conditions[0], neutral or self.conditions[1]]
        self._move(self._touching)

    def _arrive(self, now_us):
        self._agenda.cancel("bounce")
        self._move(self.is_pulled)
        if self.is_pulled and self.bounce_ms:
            half_us = self.bounce_ms * 500
            self._agenda.set("bounce", now_us + half_us, lambda: self._bounce(now_us + 2 * half_us))

    def _bounce(self, end_us):
        self._agenda.set("bounce", end_us, lambda: self._move(True))
        self._move(False)

    def _move(self, touching):
        self._touching = touching
        line, neutral = (condition == "welded" or (touching and condition == "ok") for condition in self.conditions)
        if (line, neutral) == (self.line, self.neutral):
            return
        current_a = self._before_move()
        if current_a and not (line and neutral):
            self.openings += 1
            self.opening_ma = round(current_a * 1000)
        self.line, self.neutral = line, neutral
        self._after_move()
