"""The command `wattseal`."""
