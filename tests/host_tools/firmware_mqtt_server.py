"""MicroPython: hand streams to the plug's MQTT channel, each a line of JSON [hex, bytes that come at once]; answer with what came of it.

The answer: {"read": [...], "written": hex}; what was read is a message in hex, "bad" (BadFrame),
"broker" (BrokerError, which ends it) or "end".
"""

import asyncio
import json
import sys
from binascii import hexlify, unhexlify

from net.scripted_stream import Opener, ScriptedStream
from plug.errors import BadFrame, BrokerError
from plug.net.mqtt import Mqtt

_MOST = 1000  # reads of one stream


async def answer(data, piece):
    stream = ScriptedStream(memoryview(data), piece=piece)
    channel = Mqtt("", 0, "ab" * 20, None, None, Opener(stream))
    read = []
    try:
        await channel.open(lambda: None)
        stream.written = b""
        while len(read) < _MOST:
            try:
                body = await channel.read()
                if body is None:
                    break
                read.append(hexlify(body).decode())
            except BadFrame:
                read.append("bad")
        read.append("end")
    except EOFError:
        read.append("end")
    except BrokerError:
        read.append("broker")
    return read, hexlify(stream.written).decode()


while True:
    line = sys.stdin.readline()
    if not line:
        break
    data, piece = json.loads(line)
    asyncio.new_event_loop()
    read, written = asyncio.run(answer(unhexlify(data), piece))
    sys.stdout.write(json.dumps({"read": read, "written": written}) + "\n")
