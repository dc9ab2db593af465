"""Keccak-256 as Ethereum uses it (padding 0x01, not SHA3-256's 0x06)."""

try:
    from plug.crypto.keccak_native import digest
except (ImportError, SyntaxError, ValueError):  # this processor has no native code, or not this one
    from plug.crypto.keccak_plain import digest


def keccak256(data):
    """Keccak-256 of `data` (bytes or bytearray of any length): 32 bytes. Raises ValueError for another type."""
    if not isinstance(data, (bytes, bytearray)):
        raise ValueError("data: expected bytes, got " + type(data).__name__)
    return digest(data)
