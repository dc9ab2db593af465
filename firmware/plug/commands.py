"""What the relay says: each message to the part that it concerns, and what is wrong with it back (docs/protocol.md section 2)."""

from plug.errors import BadState, Malformed, MeterError, PlugError, UnknownType
from plug.ledger import TAG_BYTES
from plug.net.framing import parse
from plug.session import IDLE
from plug.wire import check_keys, from_hex

_MAX_MA = 1_000_000


class Commands:
    """Handles messages. `acknowledge(session, sequence)` and `start_over()` are the link's; `announce()` tells the relay where the plug stands;
    `reboot()` restarts it.
    """

    def __init__(self, clock, session, guard, ledger, meter, enrolment, acknowledge, start_over, announce, reboot):
        self._clock = clock
        self._session = session
        self._guard = guard
        self._ledger = ledger
        self._meter = meter
        self._acknowledge = acknowledge
        self._start_over = start_over
        self._announce = announce
        self._reboot = reboot
        self.refused = 0
        self._handlers = {
            "time": self._time,
            "voucher": self._voucher,
            "lock": session.take_lock,
            "stop": session.take_stop,
            "end": session.take_end,
            "budget": self._budget,
            "clear_trip": self._clear_trip,
            "new_contactor": self._new_contactor,
            "reboot": self._restart,
            "enrol": enrolment.take,
            "ack": self._ack,
            "settled": self._settled,
            "refused": self._refused,
            "ping": self._ping,
            "greet": self._greet,
        }

    async def handle(self, body):
        """Return the replies to a message, given as its JSON; what is wrong with it is one of them."""
        session = None
        try:
            message = parse(body)
            handler = self._handlers.get(message["type"])
            if handler is None:
                raise UnknownType("this version knows no message {!r:.40}".format(message["type"]))
            if isinstance(message.get("session"), str):
                session = message["session"][:66]
            replies = handler(message)
            if hasattr(replies, "send"):  # a coroutine
                replies = await replies
            return replies or ()
        except PlugError as error:
            self.refused += 1
            return ({"type": "refused", "code": error.code, "message": str(error), "session": session},)

    def _time(self, message):
        check_keys("time", message, ("type", "utc"))
        utc = message["utc"]
        if type(utc) is not int or not 0 < utc < 1 << 31:  # calendars of 32 bits end there
            raise Malformed(f"time: utc is not a number of seconds: {utc!r:.40}")
        if self._clock.set_utc(utc, self._session.state == IDLE):
            self._session.forget_offer()
        offer = self._session.offer() if self._meter.is_live else None
        return None if offer is None else (offer,)

    async def _voucher(self, message):
        if not self._meter.is_live:
            raise MeterError("the meter does not answer: no session can start")
        await self._session.take_voucher(message)

    def _budget(self, message):
        check_keys("budget", message, ("type", "current_ma"))
        current_ma = message["current_ma"]
        if type(current_ma) is not int or not 0 <= current_ma <= _MAX_MA:
            raise Malformed(f"budget: current_ma is not 0 to {_MAX_MA}: {current_ma!r:.40}")
        self._session.take_budget(current_ma)

    def _clear_trip(self, message):
        check_keys("clear_trip", message, ("type",))
        self._guard.clear(self._clock.tick())
        self._announce()

    def _new_contactor(self, message):
        check_keys("new_contactor", message, ("type",))
        self._guard.clear(self._clock.tick(), reset_wear=True)
        self._announce()

    def _restart(self, message):
        check_keys("reboot", message, ("type",))
        if self._session.state != IDLE or not self._guard.is_open:
            raise BadState(f"a session is {self._session.state}, the contactor {self._guard.state}: end the session first")
        self._reboot()

    def _ack(self, message):
        check_keys("ack", message, ("type", "session", "sequence", "status"))
        if type(message["sequence"]) is not int:
            raise Malformed(f"ack: sequence is not an integer: {message['sequence']!r:.40}")
        if message["status"] not in ("stored", "superseded"):
            raise Malformed(f"ack: status is neither stored nor superseded: {message['status']!r:.40}")
        self._acknowledge(from_hex("session", message["session"], 32), message["sequence"])

    def _settled(self, message):
        check_keys("settled", message, ("type", "session"))
        self._ledger.mark_paid(from_hex("session", message["session"], 32)[:TAG_BYTES])

    def _refused(self, message):
        print("relay refused: {!r:.40} {!r:.200}".format(message.get("code"), message.get("message")))

    def _ping(self, message):
        check_keys("ping", message, ("type",))
        return ({"type": "pong", "budget_ma": self._session.budget_ma},)

    def _greet(self, message):
        check_keys("greet", message, ("type",))
        self._start_over()
