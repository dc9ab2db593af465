"""Long computations in steps, so that sampling goes on between them."""

import asyncio


async def finish(steps):
    """Run a generator to its end, one step at a time between the other tasks; return what it returns and raise what it raises."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        await asyncio.sleep_ms(0)
