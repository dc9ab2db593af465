"""Wattseal's plug. The contactor is opened before anything else is even imported."""

import machine
from plug import board
from plug.drivers.contactor import Contactor


def main():
    """Run the plug; whatever ends it, the contacts open."""
    contactor = Contactor(board.PINS["contactor"], board.CONTACTOR_ACTIVE_HIGH)
    try:
        run(contactor)
    finally:
        contactor.open()


def run(contactor):
    """Run the app; a fault that it does not handle is journalled, printed, and resets the machine."""
    import asyncio
    import gc
    import sys

    from plug.imports import ORDER

    for name in ORDER:
        __import__(name)
        gc.collect()  # what loading left over would splinter the heap
    from plug.app import App
    from plug.errors import PlugError

    app = None
    try:
        try:
            app = App(contactor)
        except PlugError as error:  # no reset cures these
            print(f"{error.code}: {error}")
            return
        asyncio.run(app.run())
    except Exception as error:  # noqa: BLE001 - off is the safe state, and a reset the only cure for the unknown
        contactor.open()
        sys.print_exception(error)
        if app is not None:
            app.note_crash(error)
        machine.reset()


main()
