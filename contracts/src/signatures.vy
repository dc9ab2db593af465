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
    return self._is_signed_in_words_by(convert(signer, uint256), digest, self._words_of(signature))


@internal
@pure
def _words_of(signature: Bytes[128]) -> uint256[4]:
    """
    @notice A signature as words: r, s, v, 0 or r, s, x, y. No point of P-256 has y = 0, so no 128 bytes are taken for the other form.
    @param signature 65 or 128 bytes; any other length gives words that nobody signed.
    """
    r: uint256 = 0
    s: uint256 = 0
    if len(signature) == 65:
        r = convert(extract32(signature, 0), uint256)
        s = convert(extract32(signature, 32), uint256)
        return [r, s, convert(extract32(signature, 33), uint256) & 255, 0]
    if len(signature) == 128 and extract32(signature, 96) != empty(bytes32):
        r = convert(extract32(signature, 0), uint256)
        s = convert(extract32(signature, 32), uint256)
        return [r, s, convert(extract32(signature, 64), uint256), convert(extract32(signature, 96), uint256)]
    return empty(uint256[4])


@internal
@view
def _is_signed_in_words_by(signer: uint256, digest: bytes32, signature: uint256[4]) -> bool:
    if signature[3] != 0:
        return self._is_signed_with_p256_by(signer, digest, signature)
    # ecrecover answers the empty address when there is no signer
    return (
        signature[1] <= MAX_S_K1
        and signature[2] <= 1
        and convert(ecrecover(digest, unsafe_add(signature[2], 27), signature[0], signature[1]), uint256) == signer
        and signer != 0
    )


@internal
@view
def _is_signed_with_p256_by(signer: uint256, digest: bytes32, signature: uint256[4]) -> bool:
    if signature[1] > MAX_S_R1 or not HAS_P256:
        return False
    key_hash: bytes32 = keccak256(concat(P256_PREFIX, abi_encode(signature[2], signature[3])))
    if convert(key_hash, uint256) & convert(max_value(uint160), uint256) != signer:
        return False
    return self._p256_verify(abi_encode(digest, signature))


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
    signature: bytes32[4] = [
        0xefd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716,
        0xf7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8,
        0x60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6,
        0x7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299,
    ]
    digest: bytes32 = sha256("sample")
    return self._p256_verify(abi_encode(digest, signature)) and not self._p256_verify(abi_encode(sha256(digest), signature))
