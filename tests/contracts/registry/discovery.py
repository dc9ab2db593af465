"""What a driver's app does: the list of plugs from the registry's logs and its ABI, and nothing else."""

from eth_abi import decode
from eth_utils import keccak, to_checksum_address


def canonical(parameter):
    if parameter["type"] == "tuple":
        return f"({','.join(map(canonical, parameter['components']))})"
    return parameter["type"]


def topic(event):
    return keccak(f"{event['name']}({','.join(map(canonical, event['inputs']))})".encode())


def plugs(abi, logs):
    """Return host and newest listing (None before the first) by plug, of logs as (topics, data) in the chain's order."""
    events = {topic(entry): entry for entry in abi if entry["type"] == "event"}
    found = {}
    for topics, data in logs:
        event = events[topics[0]]
        names = [parameter["name"] for parameter in event["inputs"] if parameter["indexed"]]
        keys = {name: to_checksum_address(word[-20:]) for name, word in zip(names, topics[1:], strict=True)}
        if event["name"] == "Enrolled":
            found[keys["plug"]] = (keys["host"], None)
        elif event["name"] == "Announced":
            (listing,) = decode([canonical(parameter) for parameter in event["inputs"] if not parameter["indexed"]], data)
            found[keys["plug"]] = (keys["host"], listing)
        elif event["name"] == "Retired":
            found.pop(keys["plug"], None)
    return found
