# pragma version 0.4.3
"""
@title Signatures
@license MIT
@notice EIP-712 digests, and the two forms of a plug's signature over them: docs/protocol.md, section 1.
"""

DOMAIN_TYPE_HASH: constant(bytes32) = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")

# the lower of the two values of s that make a valid signature: half of the curve's order, rounded down (EIP-2 for secp256k1)
MAX_S: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168
MAX_P256_S: constant(uint256) = 57896044605178124381348723474703786764998477612067880171211129530534256022184

# the precompile P256VERIFY (EIP-7951, RIP-7212); a chain without it answers nothing, so nothing signed by P-256 passes there
P256_VERIFY: constant(address) = 0x0000000000000000000000000000000000000100
ADDRESS_MASK: constant(uint256) = 2**160 - 1


@internal
@pure
def _digest(domain_separator: bytes32, struct_hash: bytes32) -> bytes32:
    return keccak256(concat(x"1901", domain_separator, struct_hash))


@internal
@view
def _is_signed_by(signer: address, digest: bytes32, signature: Bytes[128]) -> bool:
    # the length tells the curve
    if len(signature) == 65:
        return self._is_secp256k1_signed_by(signer, digest, signature)
    if len(signature) == 128:
        return self._is_p256_signed_by(signer, digest, signature)
    return False


@internal
@pure
def _is_secp256k1_signed_by(signer: address, digest: bytes32, signature: Bytes[128]) -> bool:
    # r || s || v
    s: uint256 = convert(extract32(signature, 32), uint256)
    recovery: uint256 = convert(slice(signature, 64, 1), uint256)
    if s > MAX_S or recovery > 1:
        return False
    # ecrecover answers the empty address when there is no signer
    return signer != empty(address) and ecrecover(digest, recovery + 27, convert(extract32(signature, 0), uint256), s) == signer


@internal
@view
def _is_p256_signed_by(signer: address, digest: bytes32, signature: Bytes[128]) -> bool:
    # r || s || x || y: the key comes along, and the signer's id commits to it
    if convert(extract32(signature, 32), uint256) > MAX_P256_S:
        return False
    key_hash: bytes32 = keccak256(concat(b"P256", slice(signature, 64, 64)))
    if convert(key_hash, uint256) & ADDRESS_MASK != convert(signer, uint256):
        return False
    answer: Bytes[33] = raw_call(
        P256_VERIFY, concat(digest, signature), max_outsize=33, is_static_call=True, revert_on_failure=False
    )[1]
    return len(answer) == 32 and convert(extract32(answer, 0), uint256) == 1
