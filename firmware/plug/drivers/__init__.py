"""Drivers of the parts on the board; each knows its bus or pin and nothing else."""
