# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Wattseal's formula for many receipts in one call.
"""

import Wattseal

initializes: Wattseal


# pricePerKwh, pricePerHour, maxPowerW, cap, activeSeconds, energyWh
struct Case:
    price_per_kwh: uint96
    price_per_hour: uint96
    max_power_w: uint32
    cap: uint128
    active_seconds: uint32
    energy_wh: uint64


@deploy
def __init__():
    Wattseal.__init__()


@external
@pure
def due_many(cases: DynArray[Case, 1000]) -> DynArray[uint256, 1000]:
    dues: DynArray[uint256, 1000] = []
    for case: Case in cases:
        dues.append(
            Wattseal._due(
                convert(case.price_per_kwh, uint256),
                convert(case.price_per_hour, uint256),
                convert(case.max_power_w, uint256),
                convert(case.cap, uint256),
                convert(case.active_seconds, uint256),
                convert(case.energy_wh, uint256),
            )
        )
    return dues
