"""One seed for all keys of a driver: BIP-39 words on paper, BIP-32 keys by a BIP-44 path, an index for every session.

An index is a stretch of ten minutes since 2026, so that a wallet restored from its words cannot take one that was taken before: all of them
lie in the past. https://github.com/bitcoin/bips/blob/master/bip-0039.mediawiki, bip-0032, bip-0044.
"""

import secrets
from collections.abc import Iterator
from functools import cached_property
from hashlib import sha512
from hmac import new as hmac

from eth_account.hdaccount.deterministic import HardNode, SoftNode, derive_child_key
from eth_account.hdaccount.mnemonic import Mnemonic

from wattseal.errors import WalletError
from wattseal.protocol import signatures

ENTROPY_BYTES = 32
WORDS = 24
FIRST_SLOT_AT = 1_767_225_600  # 2026-01-01 00:00:00 UTC
SLOT_S = 600
AHEAD = 20  # so many indexes may be taken before their time has come

_PARENT_PATH = (HardNode(44), HardNode(60), HardNode(0), SoftNode(0))
_BITS_A_WORD = 11


class Seed:
    """Derives the keys of sessions. The index of a session is its last place in the path m/44'/60'/0'/0/index."""

    def __init__(self, entropy: bytes) -> None:
        """`entropy` is 32 secret bytes."""
        if len(entropy) != ENTROPY_BYTES:
            raise WalletError(f"the seed has {len(entropy)} bytes, not {ENTROPY_BYTES}: this is another kind of key file")
        self.entropy = entropy

    @classmethod
    def new(cls) -> "Seed":
        """Draw a seed."""
        return cls(secrets.token_bytes(ENTROPY_BYTES))

    @classmethod
    def from_words(cls, text: str) -> "Seed":
        """Read 24 English BIP-39 words; their checksum tells most slips of the pen. Raises WalletError, which never holds a word."""
        mnemonic = Mnemonic()
        words = text.lower().split()
        if len(words) != WORDS:
            raise WalletError(f"there are {len(words)} words, not {WORDS}: write down what `wattseal driver create` showed")
        places = {word: place for place, word in enumerate(mnemonic.wordlist)}
        unknown = [str(number) for number, word in enumerate(words, 1) if word not in places]
        if unknown:
            raise WalletError(f"not in the BIP-39 list of English words: word number {', '.join(unknown)}; look at the paper again")
        bits = 0
        for word in words:
            bits = bits << _BITS_A_WORD | places[word]
        entropy = (bits >> (WORDS * _BITS_A_WORD - 8 * ENTROPY_BYTES)).to_bytes(ENTROPY_BYTES)
        if mnemonic.to_mnemonic(entropy).split() != words:
            raise WalletError("the words' checksum is wrong: one of them is another one, or two have changed places")
        return cls(entropy)

    @property
    def words(self) -> str:
        """The 24 words."""
        return Mnemonic().to_mnemonic(self.entropy)

    def key(self, index: int) -> bytes:
        """Return the 32-byte secret of a session."""
        return derive_child_key(*self._parent, SoftNode(index))[0]

    def address(self, index: int) -> bytes:
        """Return the 20-byte address of a session."""
        return signatures.address(self.key(index))

    def addresses(self, first: int, end: int) -> Iterator[tuple[bytes, int]]:
        """Yield (address, index) of the sessions from one index to below another; 50,000, a year, take a quarter of a minute."""
        for index in range(first, end):
            yield self.address(index), index

    @cached_property
    def _parent(self) -> tuple[bytes, bytes]:
        """Key and chain code above the indexes."""
        master = hmac(b"Bitcoin seed", Mnemonic.to_seed(self.words), sha512).digest()
        key, code = master[:32], master[32:]
        for node in _PARENT_PATH:
            key, code = derive_child_key(key, code, node)
        return key, code


def path(index: int) -> str:
    """Return the BIP-44 path of a session's key, for other wallets."""
    return f"m/44'/60'/0'/0/{index}"


def slot(utc: float) -> int:
    """Return the index whose time has come at a UTC second. Raises WalletError for a clock before 2026."""
    if utc < FIRST_SLOT_AT:
        raise WalletError("this machine's clock is before 2026: set it, as it keeps keys from being used twice")
    return int(utc - FIRST_SLOT_AT) // SLOT_S


def next_index(last: int, utc: float) -> int:
    """Return an index above `last` (-1: none yet) that no earlier wallet of this seed can have taken. Raises WalletError where it is too early."""
    now = slot(utc)
    index = max(last + 1, now)
    if index > now + AHEAD:
        minutes = (index - now - AHEAD) * SLOT_S // 60
        raise WalletError(
            f"all keys that may be used by now are taken; the next one comes within {minutes} minutes, if this machine's clock is right"
        )
    return index


def last_after_restoring(found: int, utc: float) -> int:
    """Return the highest index that a wallet of this seed may have taken before now; `found` is the highest one that the chain shows."""
    return max(found, slot(utc) + AHEAD)
