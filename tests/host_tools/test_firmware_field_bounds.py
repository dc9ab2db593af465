"""Proof by intervals that no word of the firmware's field arithmetic overflows: firmware/plug/crypto/field.py itself runs here, on ranges of numbers.

A value is a polynomial in the operands' limbs with what every symbol can be. So Karatsuba's differences cancel before a range is taken, as they do
in the machine, modulo 2^32. A right shift or a mask needs a value that is surely within its word; it makes a new symbol. A loaded word that may have
its uppermost bit set is `wild`, and all that is computed from it, until a mask is put on: 64-bit machines may have extended its sign.
"""

import ast
from pathlib import Path

import pytest

FIELD = Path(__file__).resolve().parents[2] / "firmware/plug/crypto/field.py"
LIMB, LAST_LIMB = 8192, 560
FIRST, A, B, TARGET = 5, 5, 6, 7
WORD = 2**32
P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1
K1 = 2**256 - 2**32 - 977


class Value:
    """A polynomial: {monomial, a sorted tuple of symbols: coefficient}, where a symbol is (name, least, greatest)."""

    def __init__(self, terms, wild=False):
        self.wild = wild
        self.terms = {monomial: coefficient for monomial, coefficient in terms.items() if coefficient}

    @staticmethod
    def of(other):
        return other if isinstance(other, Value) else Value({(): other})

    @staticmethod
    def symbol(name, least, greatest):
        assert 0 <= least <= greatest
        return Value({((name, least, greatest),): 1})

    def bounds(self):
        low = high = 0
        for monomial, coefficient in self.terms.items():
            least = greatest = 1
            for _, symbol_least, symbol_greatest in monomial:  # of which none is below zero
                least *= symbol_least
                greatest *= symbol_greatest
            low += coefficient * (least if coefficient > 0 else greatest)
            high += coefficient * (greatest if coefficient > 0 else least)
        return low, high

    def __add__(self, other):
        other = Value.of(other)
        terms = dict(self.terms)
        for monomial, coefficient in other.terms.items():
            terms[monomial] = terms.get(monomial, 0) + coefficient
        return Value(terms, self.wild or other.wild)

    def __sub__(self, other):
        return self + Value.of(other) * -1

    def __rsub__(self, other):
        return self * -1 + other

    def __mul__(self, other):
        other = Value.of(other)
        terms = {}
        for left, a in self.terms.items():
            for right, b in other.terms.items():
                monomial = tuple(sorted(left + right))
                terms[monomial] = terms.get(monomial, 0) + a * b
        return Value(terms, self.wild or other.wild)

    __radd__ = __add__
    __rmul__ = __mul__

    def __lshift__(self, bits):
        return self * (1 << bits)

    def __rshift__(self, bits):
        return Shifted(self, bits)

    def __and__(self, mask):
        low, high = self.bounds()
        assert low >= 0, "a negative number is masked"
        assert high < WORD, f"{high / WORD:.2f} times a word"
        assert mask & (mask + 1) == 0
        return fresh(low if high <= mask else 0, min(high, mask))


class Shifted(Value):
    """A value after a right shift: without a mask it must have been less than 2^31. A mask must not take a bit that can be set."""

    def __init__(self, value, bits):
        self.low, self.high = value.bounds()
        self.bits = bits
        self.wild = value.wild
        assert self.low >= 0, "a negative number is shifted"

    @property
    def terms(self):
        assert not self.wild, "copies of the sign are shifted without a mask"
        assert self.high < WORD // 2, f"{self.high / WORD:.2f} times a word is shifted without a mask"
        return fresh(self.low >> self.bits, self.high >> self.bits).terms

    def __and__(self, mask):
        assert self.high < WORD, f"{self.high / WORD:.2f} times a word is shifted"
        assert mask & (mask + 1) == 0
        assert mask < 1 << 32 - self.bits, "the mask lets copies of the sign through"
        assert self.high >> self.bits <= mask, "the mask loses bits"
        return fresh(self.low >> self.bits, self.high >> self.bits)


counter = iter(range(10**9))


def fresh(least, greatest):
    return Value.symbol(next(counter), least, greatest)


class Pointer:
    """Words, or with 1 for `size` bytes, from a place of a list on."""

    def __init__(self, words, offset, size):
        self.words, self.offset, self.size = words, offset, size

    def __add__(self, other):
        return Pointer(self.words, self.offset + other, self.size)

    def __sub__(self, other):
        return self + -other

    def _index(self, index):
        place = self.offset + index * self.size
        assert place >= 0
        assert place % self.size == 0
        return place // self.size

    def __getitem__(self, index):
        word = self.words[self._index(index)]
        if not isinstance(word, Value):
            return word
        low, high = word.bounds()
        return Value(word.terms, low < 0 or high >= WORD // 2)

    def __setitem__(self, index, value):
        self.words[self._index(index)] = value


def pointer(size):
    return lambda target: Pointer(target.words, target.offset, size) if isinstance(target, Pointer) else Pointer(target, 0, size)


def machine():
    """field.py's `run`, with Field, as Python that works on Value."""
    tree = ast.parse(FIELD.read_text())
    tree.body = [node for node in tree.body if not (isinstance(node, ast.Import | ast.ImportFrom) and "micropython" in ast.unparse(node))]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = []
            for argument in node.args.args:
                argument.annotation = None
    names = {"const": lambda value: value, "ptr8": pointer(1), "ptr32": pointer(4), "int": lambda value: value}
    exec(compile(tree, str(FIELD), "exec"), names)
    return names


def limbs(name):
    return [Value.symbol(f"{name}{k}", 0, LAST_LIMB if k == 19 else LIMB) for k in range(20)]


@pytest.mark.parametrize("operation", [*range(4), *(i << 4 | j for i in range(1, 5) for j in range(9))], ids=hex)
def test_no_word_overflows(operation):
    names = machine()
    for prime, fold in ((K1, (977, 64, 0, 0, 0)), (P256, (1, 0, 32, 1024, 8))):
        constants = names["Field"](prime, fold, False).constants
        words = [int.from_bytes(constants[i : i + 4], "little") for i in range(0, 100, 4)]
        assert sum(word << 13 * k for k, word in enumerate(words[:20])) % prime == 0
        slots = [0] * (20 * FIRST) + limbs("a") + limbs("b") + [0] * 20
        program = [operation, TARGET, A, B, names["END"]]
        names["run"](Pointer(program, 0, 1), Pointer(words, 0, 4), 0, Pointer(slots, 0, 4))
        for k, limb in enumerate(slots[20 * TARGET : 20 * TARGET + 20]):
            low, high = Value.of(limb).bounds()
            assert low >= 0
            assert high <= (LAST_LIMB if k == 19 else LIMB), f"limb {k} can be {high}"
