"""Long computations turn by turn with the other tasks, so that sampling goes on between their steps."""

import asyncio

_turn = asyncio.Lock()  # one at a time: two would need the heap for both


async def finish(steps):
    """Run a generator (plug.crypto.steps) to its end, the other tasks in between; return what it returns and raise what it raises."""
    try:
        async with _turn:
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    return end.value
                await asyncio.sleep_ms(0)
    finally:
        steps.close()  # overwrites the scratch of one that was cancelled
