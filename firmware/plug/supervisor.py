"""Sees that every task is alive, and only then feeds the hardware watchdog."""

import asyncio

from micropython import const

from plug.errors import TaskDied

_LOOK_MS = const(250)


class Supervisor:
    """Runs the app's tasks. `watchdog` is a machine.WDT, `clock` counts milliseconds, `alarm()` is called when a task is late."""

    def __init__(self, watchdog, clock, alarm):
        self._watchdog = watchdog
        self._clock = clock
        self._alarm = alarm
        self._tasks = []
        self._beats = {}  # name -> [last beat, longest silence] in ms

    def start(self, name, coroutine, silence_ms):
        """Run a coroutine that never returns and calls `beat(name)` at least every `silence_ms`."""
        self._beats[name] = [self._clock.tick(), silence_ms]
        self._tasks.append((name, asyncio.create_task(coroutine)))

    def beat(self, name):
        """Note that a task is alive."""
        self._beats[name][0] = self._clock.tick()

    def late(self):
        """Return the name of a task that has been silent for too long, or None."""
        now_ms = self._clock.tick()
        for name, (beat_ms, silence_ms) in self._beats.items():
            if now_ms - beat_ms > silence_ms:
                return name
        return None

    async def run(self):
        """Watch for ever. Raises what a task raised, or TaskDied where one ended or went silent; either within a second."""
        while True:
            for name, task in self._tasks:
                if task.done():
                    try:
                        await task
                    except asyncio.CancelledError:  # would pass for an orderly end further up
                        pass
                    raise TaskDied(f"task {name} has ended: it must not; the plug restarts")
            if self.late() is not None:
                await asyncio.sleep_ms(0)  # where something has blocked them all (a TLS handshake), those that are due get their turn
            late = self.late()
            if late is not None:
                self._alarm()
                raise TaskDied(f"task {late} is silent: it hangs; the plug restarts")
            self._watchdog.feed()
            await asyncio.sleep_ms(_LOOK_MS)
