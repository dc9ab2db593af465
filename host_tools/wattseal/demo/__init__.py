"""The whole path on one machine: a simulated plug, the relay and an anvil chain, each in a process of its own."""
