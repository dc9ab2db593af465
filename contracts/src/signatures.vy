# pragma version 0.4.3
"""
@title Signatures of drivers and plugs
@license MIT
@notice Exactly one form of a signature is taken: docs/protocol.md, section 1. Calls nothing but precompiles.
@dev P-256 needs the precompile of EIP-7951. Whether the chain has it is found out once, at deployment: where it has not, a call to its address
     succeeds with an empty answer, or reaches whatever lies there.
"""

# half of each group's order (SEC 2, sections 2.4.1 and 2.4.2): of the two values of s that make a valid signature the lower one is taken
MAX_S_K1: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168
MAX_S_R1: constant(uint256) = 57896044605178124381348723474703786764998477612067880171211129530534256022184

P256_VERIFY: constant(address) = 0x0000000000000000000000000000000000000100
P256_PREFIX: constant(bytes4) = 0x50323536  # "P256", which a plug's id commits to beside its public key

HAS_P256: public(immutable(bool))


@deploy
def __init__():
    HAS_P256 = self._p256_answers_right()


@internal
@view
def _is_signed_by(signer: address, digest: bytes32, signature: Bytes[128]) -> bool:
    """
    @notice Whether a driver, a plug or a host signed a digest.
    @dev Only plugs have P-256 keys: a parameter of at most 65 bytes keeps everybody else from naming one.
    @param signer Its address; nobody signs for the empty one.
    @param digest What was signed.
    @param signature 65 bytes r || s || v, or 128 bytes r || s || x || y.
    """
    if len(signature) == 65:
        s: uint256 = convert(extract32(signature, 32), uint256)
        recovery: uint256 = convert(extract32(signature, 33), uint256) & 255
        if s > MAX_S_K1 or recovery > 1:
            return False
        # ecrecover answers the empty address when there is no signer
        recovered: address = ecrecover(digest, unsafe_add(recovery, 27), convert(extract32(signature, 0), uint256), s)
        return recovered == signer and signer != empty(address)
    if len(signature) == 128:
        return self._is_signed_by_p256(signer, digest, signature)
    return False


@internal
@view
def _is_signed_by_p256(signer: address, digest: bytes32, signature: Bytes[128]) -> bool:
    if convert(extract32(signature, 32), uint256) > MAX_S_R1 or not HAS_P256:
        return False
    key_hash: bytes32 = keccak256(concat(P256_PREFIX, slice(signature, 64, 64)))
    if convert(convert(key_hash, uint256) & convert(max_value(uint160), uint256), address) != signer:
        return False
    return self._p256_verify(concat(digest, signature))


@internal
@view
def _p256_verify(data: Bytes[160]) -> bool:
    # digest, r, s, x, y
    success: bool = False
    answer: Bytes[32] = b""
    success, answer = raw_call(P256_VERIFY, data, max_outsize=32, is_static_call=True, revert_on_failure=False)
    return success and len(answer) == 32 and convert(answer, uint256) == 1


@internal
@view
def _p256_answers_right() -> bool:
    # the signature of "sample" in RFC 6979, section A.2.5, which must pass, and fail for another digest
    signature: Bytes[128] = concat(
        0xefd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716,
        0xf7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8,
        0x60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6,
        0x7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299,
    )
    digest: bytes32 = sha256("sample")
    return self._p256_verify(concat(digest, signature)) and not self._p256_verify(concat(sha256(digest), signature))
