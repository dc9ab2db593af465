"""Receipts: the session's totals so far, with the OCMF payload they rest on, signed by the plug (docs/protocol.md sections 1 and 4)."""

import asyncio
import json
import os
from binascii import hexlify
from hashlib import sha256
from time import gmtime

from plug.crypto import eip712
from plug.typed_data import FLAG_FINAL
from plug.wire import struct_to_wire, to_hex

_OBIS_IMPORT = "1-0:1.8.0*255"
_UNIX_EPOCH_IN_2000 = 946_684_800  # MicroPython's gmtime counts from 2000 on the ESP32


def _epoch_shift():
    return _UNIX_EPOCH_IN_2000 if gmtime(0)[0] == 2000 else 0


def ocmf_time(utc):
    """Return UTC seconds as an OCMF TM with clock status R."""
    year, month, day, hour, minute, second = gmtime(utc - _epoch_shift())[:6]
    return "%04d-%02d-%02dT%02d:%02d:%02d,000+0000 R" % (year, month, day, hour, minute, second)


def _reading(utc, kind, register_wh):
    return '{"TM":"%s","TX":"%s","RV":%d,"RI":"%s","RU":"Wh","ST":"G"}' % (ocmf_time(utc), kind, register_wh, _OBIS_IMPORT)


def ocmf_payload(plug, firmware, calibration, receipt):
    """Return the OCMF payload text of a receipt's reading; the key order is fixed because the text is hashed.

    `calibration` is the SHA-256 (32 bytes) of what the meter was calibrated with.
    """
    head = '{"FV":"1.0","GI":"Wattseal","GS":"%s","GV":%s,"PG":"T%d","IS":true,"IL":"NONE","IF":[],"IT":"NONE","ID":"",' % (
        to_hex(plug),
        json.dumps(firmware),
        receipt["sequence"],
    )
    identity = '"XS":"%s","XN":"%s","XC":"%s",' % (to_hex(receipt["session"]), hexlify(os.urandom(16)).decode(), hexlify(calibration).decode())
    kind = "E" if receipt["flags"] & FLAG_FINAL else "C"
    begin = _reading(receipt["startedAt"], "B", receipt["registerWh"])
    now = _reading(receipt["asOf"], kind, receipt["registerWh"] + receipt["energyWh"])
    return head + identity + '"RD":[' + begin + "," + now + "]}"


class ReceiptWriter:
    """Makes receipts' messages for one chain and contract, signed by a signer (plug.signing); `plug` is its address."""

    def __init__(self, signer, domain, firmware, calibration):
        self.plug = signer.address
        self._signer = signer
        self._domain = domain
        self._firmware = firmware
        self._calibration = calibration

    async def message(self, receipt):
        """Return the wire message of a receipt (a dict of its fields but `evidence`), evidence added, signed, one step at a time."""
        await asyncio.sleep_ms(0)  # here and below: each part takes some milliseconds
        ocmf = ocmf_payload(self.plug, self._firmware, self._calibration, receipt)
        await asyncio.sleep_ms(0)
        receipt["evidence"] = sha256(ocmf.encode()).digest()
        digest = eip712.digest(self._domain, eip712.hash_struct("Receipt", receipt))
        await asyncio.sleep_ms(0)
        signature = await self._signer.sign(digest)
        return {"type": "receipt", "receipt": struct_to_wire("Receipt", receipt), "signature": to_hex(signature), "ocmf": ocmf}
