"""From a metering IC's data sheet and the front end of a board to the integers that its driver counts with, exactly."""

import math
from fractions import Fraction

SCHEMA = {
    "part": ("ADE7953", "BL0942", "CSE7766", "HLW8012"),
    "shunt_uohm": range(50, 10_001),
    "divider_upper_ohm": range(100_000, 5_000_001),
    "divider_lower_ohm": range(100, 10_001),
    "no_load_ma": range(10, 501),
    "sample_interval_ms": range(10, 5_001),
}
PART_SCHEMA = {
    "ADE7953": {
        "i2c_id": (0, 1),
        "i2c_freq_hz": range(10_000, 400_001),
        "pga_voltage": (1, 2, 4, 8, 16),
        "pga_current": (1, 2, 4, 8, 16),  # 22 exists; the accuracy that its data sheet promises has not been found stated for it
    },
    "BL0942": {"uart_id": (1, 2)},
    "CSE7766": {"uart_id": (1, 2)},
    "HLW8012": {},
}

MAX_POWER = Fraction(3, 2)  # the most that is ever booked, over the rated power

# Peak at the inputs for full scale, in uV: voltage, current.
INPUT_PEAK_UV = {
    "ADE7953": (500_000, 500_000),  # at gain 1; data sheet, table 6
    "BL0942": (100_000, 42_000),  # data sheet V1.1, 1.7 electrical characteristics
    "CSE7766": (700_000, 43_750),  # the core of the HLW8012
    "HLW8012": (700_000, 43_750),  # data sheet, table 2
}

ADE7953_COUNTS_PER_S = 206_900  # in AENERGYA at full scale (data sheet rev. C, page 25)

# BL0942 data sheet V1.1: reference 1.218 V; codes per mV of input, and per mV squared; a pulse of CF_CNT is 1638.4 * 256 s of WATT.
BL0942_REFERENCE = Fraction(1218, 1000)
BL0942_VOLTAGE = 73_989 / BL0942_REFERENCE
BL0942_CURRENT = 305_978 / BL0942_REFERENCE
BL0942_POWER = 3_537 / BL0942_REFERENCE**2
BL0942_PULSE_S = Fraction(16_384, 10) * 256

# CSE7766 user manual rev. 1.2: its coefficients are for this front end and in V*us, A*us and uJ a pulse.
CSE7766_SHUNT_UOHM = 1_000
CSE7766_DIVIDER = 1_000  # 1 MOhm over 1 kOhm, taken as 1000

# HLW8012 data sheet: pulses per second from the voltages at its inputs.
HLW8012_REFERENCE_V = Fraction(243, 100)
HLW8012_CLOCK_HZ = 3_579_000


def divider(meter: dict) -> Fraction:
    """Return mains voltage over input voltage."""
    return Fraction(meter["divider_upper_ohm"] + meter["divider_lower_ohm"], meter["divider_lower_ohm"])


def full_scale_peak(meter: dict) -> tuple[Fraction, Fraction]:
    """Return the exact peak mains voltage in mV and current in mA at which the IC's inputs are at full scale."""
    voltage_uv, current_uv = INPUT_PEAK_UV[meter["part"]]
    voltage_mv = Fraction(voltage_uv, 1000 * meter.get("pga_voltage", 1)) * divider(meter)
    return voltage_mv, Fraction(current_uv * 1000, meter.get("pga_current", 1) * meter["shunt_uohm"])


def rms(peak: Fraction) -> int:
    """Return the rms value of a sine of that peak, rounded down."""
    return math.isqrt(int(peak * peak / 2))


def meter_constants(board: dict) -> dict[str, int | str]:
    """Return METER of a board module: the IC's name, and integers."""
    meter, ratings = board["meter"], board["ratings"]
    energy_mwh, more = SCALES[meter["part"]](board)
    return {
        "part": meter["part"].lower(),
        "energy_mwh_numerator": energy_mwh.numerator,
        "energy_mwh_denominator": energy_mwh.denominator,
        "max_power_mw": int(ratings["rated_power_w"] * 1000 * MAX_POWER),
        "rated_voltage_mv": ratings["rated_voltage_mv"],
        "no_load_ma": meter["no_load_ma"],
        "sample_interval_ms": meter["sample_interval_ms"],
        **more,
    }


def ratio(name: str, value: Fraction) -> dict[str, int]:
    """Return an exact ratio as two integers under `name`."""
    return {f"{name}_numerator": value.numerator, f"{name}_denominator": value.denominator}


def scale_ade7953(board: dict) -> tuple[Fraction, dict]:
    """Return mWh per energy count and the IC's other constants.

    One count is P_FS / 206900 joule (data sheet page 25: 206.9 kHz at full scale), that is P_FS / (206900 * 3.6) mWh.
    P_FS = V_FS * I_FS, both rms, is half the product of the peaks: so it is an exact ratio of integers.
    """
    meter = board["meter"]
    voltage_peak_mv, current_peak_ma = full_scale_peak(meter)
    power_mw = voltage_peak_mv * current_peak_ma / 2000
    no_load_mw = Fraction(board["ratings"]["rated_voltage_mv"] * meter["no_load_ma"], 1000)
    more = {
        "i2c_id": meter["i2c_id"],
        "i2c_freq_hz": meter["i2c_freq_hz"],
        "full_scale_mv": rms(voltage_peak_mv),
        "full_scale_ma": rms(current_peak_ma),
        "full_scale_mw": int(power_mw),
        "full_scale_peak_ma": int(current_peak_ma),
        "pga_voltage": meter["pga_voltage"],
        "pga_current": meter["pga_current"],
        "no_load_ratio": int(power_mw / no_load_mw),
    }
    if "instant_peak_ma" in board["guard"]:
        more["over_current_ma"] = board["guard"]["instant_peak_ma"]
    return power_mw / 1000 / (ADE7953_COUNTS_PER_S * Fraction(36, 10)), more


def scale_bl0942(board: dict) -> tuple[Fraction, dict]:
    """Return mWh per pulse of CF_CNT, and mV, mA and mW per code."""
    meter = board["meter"]
    shunt_mohm = Fraction(meter["shunt_uohm"], 1000)
    power_mw = divider(meter) / (BL0942_POWER * shunt_mohm)
    more = {
        "uart_id": meter["uart_id"],
        **ratio("voltage_mv", divider(meter) / BL0942_VOLTAGE),
        **ratio("current_ma", 1000 / (BL0942_CURRENT * shunt_mohm)),
        **ratio("power_mw", power_mw),
    }
    return power_mw * BL0942_PULSE_S / 3600, more


def scale_cse7766(board: dict) -> tuple[Fraction, dict]:
    """Return mWh per uJ that the IC's coefficients say, and what to multiply its voltage and current with."""
    meter = board["meter"]
    voltage = Fraction(meter["divider_upper_ohm"], meter["divider_lower_ohm"] * CSE7766_DIVIDER)
    current = Fraction(CSE7766_SHUNT_UOHM, meter["shunt_uohm"])
    more = {"uart_id": meter["uart_id"], **ratio("voltage", voltage), **ratio("current", current)}
    return voltage * current / (3600 * 1000), more


def scale_hlw8012(board: dict) -> tuple[Fraction, dict]:
    """Return mWh per pulse of CF, and mV and mA per pulse and second of CF1."""
    meter = board["meter"]
    shunt_ohm = Fraction(meter["shunt_uohm"], 10**6)
    joule = divider(meter) * 128 * HLW8012_REFERENCE_V**2 / (shunt_ohm * 48 * HLW8012_CLOCK_HZ)
    more = {
        **ratio("voltage_mv", 1000 * divider(meter) * HLW8012_REFERENCE_V * 512 / (2 * HLW8012_CLOCK_HZ)),
        **ratio("current_ma", 1000 * HLW8012_REFERENCE_V * 512 / (24 * shunt_ohm * HLW8012_CLOCK_HZ)),
    }
    return joule / Fraction(36, 10), more


SCALES = {"ADE7953": scale_ade7953, "BL0942": scale_bl0942, "CSE7766": scale_cse7766, "HLW8012": scale_hlw8012}
