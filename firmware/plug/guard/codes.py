"""Stable codes of the trips, and how the LED tells them apart."""

OVER_CURRENT = "over_current"
OVERLOAD = "overload"
OVER_VOLTAGE = "over_voltage"
UNDER_VOLTAGE = "under_voltage"
FREQUENCY = "frequency"
BROWN_OUT = "brown_out"
CONTACT_TEMPERATURE = "contact_temperature"
PLUG_TEMPERATURE = "plug_temperature"
TEMPERATURE_SENSOR = "temperature_sensor"
WELD = "weld"
CLOSED_AT_BOOT = "closed_at_boot"
STUCK_OPEN = "stuck_open"
METER_SILENT = "meter_silent"
CHATTER = "chatter"
WEAR = "wear"
WATCHDOG = "watchdog"
WATCHDOG_LOOP = "watchdog_loop"

# Nobody counts to seventeen: one number for all trips that send a person to the same place.
_BLINKS = (
    (OVER_CURRENT, OVERLOAD),  # 1: the car or its cable
    (OVER_VOLTAGE, UNDER_VOLTAGE, FREQUENCY, BROWN_OUT),  # 2: the mains
    (CONTACT_TEMPERATURE, PLUG_TEMPERATURE, TEMPERATURE_SENSOR),  # 3: heat
    (WELD, CLOSED_AT_BOOT, STUCK_OPEN, CHATTER, WEAR),  # 4: the contactor
    (METER_SILENT, WATCHDOG, WATCHDOG_LOOP),  # 5: the electronics
)


def blinks(code):
    """Return how many times the LED blinks for a trip's code, 1 to 5."""
    for number, codes in enumerate(_BLINKS, 1):
        if code in codes:
            return number
    return len(_BLINKS)  # of a newer version, out of the journal
