"""Imports what a session needs, the lowest first, as main.py does: imports that nest deeply would exhaust the stack."""

from plug.imports import ORDER

for _name in ORDER[: ORDER.index("plug.session")]:
    if not _name.startswith(("plug.guard", "plug.commands", "plug.metering.meter")):
        __import__(_name)
