"""CSE7766 metering IC over UART."""

FIELDS = ("voltage_mv", "current_ma", "power_mw")
RATE_HZ = 20
BILLING = True
OVER_CURRENT_PIN = False
BUS = "uart"
START_UP_MS = 100
