# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Wattseal's formula for many receipts in one call.
"""

import Wattseal
import typed_data

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
        v: typed_data.Voucher = empty(typed_data.Voucher)
        v.pricePerKwh = case.price_per_kwh
        v.pricePerHour = case.price_per_hour
        v.maxPowerW = case.max_power_w
        v.cap = case.cap
        r: typed_data.Receipt = empty(typed_data.Receipt)
        r.activeSeconds = case.active_seconds
        r.energyWh = case.energy_wh
        dues.append(Wattseal._due(v, r))
    return dues
