"""BL0942 metering IC over UART."""

FIELDS = ("voltage_mv", "current_ma", "power_mw", "frequency_mhz")
RATE_HZ = 10
BILLING = True
OVER_CURRENT_PIN = False
BUS = "uart"
START_UP_MS = 100
