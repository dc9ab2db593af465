"""Links to plugs: TCP, MQTT and serial lines, behind one `Connection` and one `PlugHandler`."""

from wattseal.relay.links.connection import Connection, PlugHandler, Timings, Wire
from wattseal.relay.links.door import MAX_REFUSED_FRAMES, Door

__all__ = ["MAX_REFUSED_FRAMES", "Connection", "Door", "PlugHandler", "Timings", "Wire"]
