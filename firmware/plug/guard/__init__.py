"""The guard owns the contactor: it closes it on a session's claim and opens it on its own. docs/guard.md is the contract."""

from plug.guard.codes import blinks
from plug.guard.watching import Guard

__all__ = ("Guard", "blinks")
