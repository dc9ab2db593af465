"""What the UART drivers' tests share: a line that can lose, change, repeat and delay bytes."""


class Line:
    """A machine.UART to one chip. `damage(data)` may change what the chip sends; `on_write(data)` is the chip."""

    def __init__(self):
        self.waiting = b""
        self.damage = lambda data: data
        self.on_write = lambda data: None

    def send(self, data):
        """Let the chip send."""
        self.waiting += self.damage(data)

    def any(self):
        return len(self.waiting)

    def readinto(self, buffer):
        count = min(len(buffer), len(self.waiting))
        assert count, "a read that would wait"
        buffer[:count] = self.waiting[:count]
        self.waiting = self.waiting[count:]
        return count

    def write(self, data):
        self.on_write(bytes(data))
        return len(data)


class Damage:
    """Damages one message in `one_in`, in a way of `kinds`; the generator gives the rest."""

    def __init__(self, random, kinds, one_in):
        self.random = random
        self.kinds = kinds
        self.one_in = one_in
        self.held = b""
        self.last = b""

    def __call__(self, data):
        random = self.random
        data, self.held = self.held + data, b""
        last, self.last = self.last, data
        if random.below(self.one_in) or not data:
            return data
        kind = self.kinds[random.below(len(self.kinds))]
        if kind == "flip":
            return flipped(data, random.below(8 * len(data)))
        if kind == "flips":
            return flipped(flipped(data, random.below(8 * len(data))), random.below(8 * len(data)))
        if kind == "lost byte":
            at = random.below(len(data))
            return data[:at] + data[at + 1 :]
        if kind == "lost":
            return b""
        if kind == "repeated":
            return data + data
        if kind == "late":
            self.held = data
            return b""
        if kind == "old":
            return last
        if kind == "garbage":
            return bytes(random.below(256) for _ in range(random.below(80))) + data
        if kind == "zeros":
            return bytes(len(data))
        assert kind == "ones", kind
        return b"\xff" * len(data)


KINDS = ("flip", "flips", "lost byte", "lost", "repeated", "late", "old", "garbage", "zeros", "ones")


def flipped(data, bit):
    """Return the data with one bit changed."""
    data = bytearray(data)
    data[bit // 8] ^= 1 << bit % 8
    return bytes(data)
