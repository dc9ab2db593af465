"""From the meter's counts to energy."""
