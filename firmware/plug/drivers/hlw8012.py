"""HLW8012 metering IC, which gives pulses."""

FIELDS = ("voltage_mv", "current_ma", "power_mw")
RATE_HZ = 10
BILLING = True
OVER_CURRENT_PIN = False
BUS = "pulse"
START_UP_MS = 100
