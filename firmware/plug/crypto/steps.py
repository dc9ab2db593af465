"""Long computations as generators: each `yield` is a place where the caller may do something else, the result is what they return.

A generator that is closed early, or that an exception ends, overwrites its scratch. One that is only dropped does not: close it.
"""


def finish(steps):
    """Run the generator `steps` to its end; its result."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value
