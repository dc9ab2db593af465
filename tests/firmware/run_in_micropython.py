"""Run one test file inside MicroPython: `micropython run_in_micropython.py <module> <test> [<test> ...]`.

The module path comes from MICROPYPATH only. Each test ends with one line on stdout, `@result {"test": ..., "error": null or a traceback}`.
Tests may use what stands here: `from run_in_micropython import raises`.
"""

import gc
import io
import json
import os
import sys

RESULT = "@result "


def raises(error, function, *arguments):
    """Call `function(*arguments)`, which must raise `error`; return the exception. AssertionError when it does not."""
    try:
        function(*arguments)
    except error as e:
        return e
    raise AssertionError(f"{error.__name__} was not raised")


def _run(test):
    coroutine = test()
    if hasattr(coroutine, "send"):
        import asyncio  # late: the simulator's time and select must be importable before it

        asyncio.new_event_loop()
        asyncio.run(coroutine)


def main(module_name, test_names):
    sys.path[:] = os.getenv("MICROPYPATH").split(":")  # without this script's own folder in front
    __import__(module_name)
    module = sys.modules[module_name]
    for name in test_names:
        gc.collect()
        error = None
        try:
            _run(getattr(module, name))
        except Exception as e:  # noqa: BLE001 - whatever it is, it is this test's result
            text = io.StringIO()
            sys.print_exception(e, text)
            error = text.getvalue()
        sys.stdout.write("\n" + RESULT + json.dumps({"test": name, "error": error}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
