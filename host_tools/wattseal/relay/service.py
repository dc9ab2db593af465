"""Joins link, checks, store and gateway: a receipt is verified, then stored, then acknowledged, and in the end settled.

All of it runs in one event loop; the gateway, which waits for the chain, is called in worker threads. Nothing here is needed after a
crash but the store: the plug sends again what was not acknowledged, and what was not settled is found there.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

from wattseal.errors import (
    Conflict,
    GatewayError,
    InSite,
    NoOffer,
    NotEnrolled,
    PlugOffline,
    ProtocolError,
    Retired,
    StaleEpoch,
    StoreError,
    UnknownPlug,
    UnknownSession,
)
from wattseal.gateway.contract import STATUS_OPEN
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import (
    Ack,
    Budget,
    Command,
    Enrolment,
    EnrolMessage,
    Health,
    Lock,
    Offer,
    PlugMessage,
    Pong,
    ReceiptMessage,
    Refused,
    RetiredMessage,
    SessionMessage,
    Settled,
    Status,
    Stop,
    StopMessage,
    Time,
    Voucher,
    VoucherMessage,
    to_hex,
)
from wattseal.protocol.signatures import check_signer
from wattseal.relay.chain import ChainThreads, Gateway
from wattseal.relay.chain_time import ChainTime
from wattseal.relay.ingest import Ingest
from wattseal.relay.links import Connection, Timings
from wattseal.relay.metrics import Metrics
from wattseal.relay.settle_policy import SettlePolicy
from wattseal.relay.settling import Settler
from wattseal.relay.site_control import SiteControl
from wattseal.relay.sites import Site
from wattseal.relay.verify import check_enrolment, check_retirement, check_session
from wattseal.store import Store

OUTBOX_SESSIONS = 32  # a plug keeps no more until they are settled
HOME = SettlePolicy()
_LAST_EPOCH = (1 << 64) - 1  # may be asked for again, as an answer may get lost

_log = logging.getLogger(__name__)


class Relay:
    """The relay of one chain and contract. A `PlugHandler`; what the API offers is here too."""

    def __init__(
        self,
        chain_id: int,
        contract: bytes,
        store: Store,
        gateway: Gateway,
        timings: Timings,
        policy: SettlePolicy = HOME,
        sites: Iterable[Site] = (),
    ) -> None:
        self.chain_id = chain_id
        self.contract = contract
        self.store = store
        self.connections: dict[bytes, Connection] = {}
        self._domain = domain_separator(chain_id, contract)
        self.metrics = Metrics()
        self._chain = ChainThreads(lambda error: self.metrics.gateway_error(error.code))
        self._time = ChainTime(partial(self._chain.ask, gateway.head_timestamp))
        self._ingest = Ingest(self._domain, store)
        self._gateway = gateway
        self._timings = timings
        self._locks: dict[Connection, tuple[bytes, asyncio.Task[None]]] = {}
        self.sites = SiteControl(sites, store)
        self.settler = Settler(store, gateway, self._chain, timings, policy, self._say_settled)
        self.metrics.watch(self)

    def close(self) -> None:
        """Finish what is being stored, and let go of the threads that wait for the chain; what they do is safe to repeat."""
        self._ingest.close()
        self._chain.close()

    # -- what is watched --------------------------------------------------------------------------------------------------------------

    @property
    def plugs_connected(self) -> int:
        """How many plugs are connected."""
        return len(self.connections)

    @property
    def queued(self) -> int:
        """How many receipts wait to be stored."""
        return self._ingest.queued

    @property
    def chain_head(self) -> int | None:
        """UTC second of the newest header that was seen, None before the first."""
        return self._time.newest

    @property
    def money_at_risk(self) -> dict[bytes, int]:
        """By token, in its base units: what all stored receipts are worth beyond what is settled, as of the settler's last look."""
        return self.settler.money_at_risk

    @property
    def settlements(self) -> dict[str, int]:
        """How many settlements have come to each state since the start."""
        return self.settler.outcomes

    async def check_store(self) -> None:
        """Raise StoreError where the store takes nothing. Not in the threads that wait for the chain, which may all be waiting."""
        await asyncio.to_thread(self.store.check_writable)

    async def check_head(self, max_age_s: float) -> str | None:
        """Return why the chain's newest header is none to go by. Raises GatewayError."""
        age_s = int(time.time()) - await self._time.ask()
        return f"the newest header is {age_s} s old: is the chain's server synchronised?" if age_s > max_age_s else None

    # -- what the API asks ------------------------------------------------------------------------------------------------------------

    def connection(self, plug: bytes) -> Connection:
        """Return the connection of a plug. Raises UnknownPlug or PlugOffline."""
        connection = self.connections.get(plug)
        if connection is not None:
            return connection
        if self.store.knows(plug):
            raise PlugOffline(f"plug {to_hex(plug)} is not connected; check its power and Wi-Fi")
        raise UnknownPlug(f"no plug {to_hex(plug)} was ever connected; check the address")

    def offer(self, plug: bytes) -> Offer:
        """Return a plug's newest offer. Raises UnknownPlug, PlugOffline or NoOffer."""
        offer = self.connection(plug).offer
        if offer is None:
            raise NoOffer(f"plug {to_hex(plug)} offers nothing: a session is running, or it does not know the time yet; ask again")
        return offer

    async def submit_voucher(self, plug: bytes, voucher: Voucher, signature: bytes) -> bytes:
        """Hand a driver's voucher to a plug and return the session once the plug accepted it. Safe to repeat.

        Raises UnknownPlug, PlugOffline, PlugSilent, or PlugRefused with the plug's own code.
        """
        session = voucher.digest(self._domain)
        if self.store.voucher(session) is None:
            await self.connection(plug).ask(VoucherMessage(voucher, signature), session)
        return session

    async def stop(self, session: bytes, signature: bytes) -> None:
        """Hand a driver's stop to the plug and return once the session is ending. Safe to repeat.

        Raises UnknownSession, BadSignature, UnknownPlug, PlugOffline, PlugSilent or PlugRefused.
        """
        voucher = self._voucher(session)
        check_signer("stop", Stop(session).digest(self._domain), signature, voucher.driver)
        newest = self.store.newest_receipt(session)
        if newest is None or not newest.receipt.final:
            await self.connection(voucher.plug).ask(StopMessage(session, signature), session)

    async def command(self, plug: bytes, command: Command) -> None:
        """Hand the host's command to a plug; its next status shows what came of it. Raises UnknownPlug, PlugOffline or InSite."""
        if isinstance(command, Budget) and self.sites.controls(plug):
            raise InSite(f"plug {to_hex(plug)} is behind a site's breaker: its budget is the site's, and another one might exceed the breaker")
        await self.connection(plug).send(command)

    async def enrol(self, plug: bytes, epoch: int | None) -> Enrolment:
        """Have a plug say for whom it works, and keep it; `epoch` None is the next above what is stored of the key or those before it.

        Safe to repeat. Raises Retired, UnknownPlug, PlugOffline, PlugSilent, or PlugRefused with the plug's own code.
        """
        self._check_not_retired(plug)
        if epoch is None:
            epoch = min(self._newest_epoch(plug) + 1, _LAST_EPOCH)
        await self.connection(plug).ask(EnrolMessage(epoch), _question(epoch))
        return self.enrolment(plug)

    def enrolment(self, plug: bytes) -> Enrolment:
        """Return a plug's newest enrolment. Raises NotEnrolled."""
        enrolment = self.store.enrolment(plug)
        if enrolment is None:
            raise NotEnrolled(f"plug {to_hex(plug)} has not enrolled here: ask for it with `wattseal plug enrol`")
        return enrolment

    def _check_not_retired(self, plug: bytes) -> None:
        retirement = self.store.retirement(plug)
        if retirement is not None:
            raise Retired(f"plug {to_hex(plug)} has retired in favour of {to_hex(retirement.successor)}: its key enrols no more")

    def _newest_epoch(self, plug: bytes) -> int:
        """Return the epoch of a key's enrolment, else the newest in which one before it retired, else 0."""
        enrolment = self.store.enrolment(plug)
        if enrolment is not None:
            return enrolment.epoch  # above the others, and nobody else can have signed it
        retirements = (self.store.retirement(earlier) for earlier in self.store.identities(plug)[1:])
        return max((one.epoch for one in retirements if one is not None), default=0)

    def _voucher(self, session: bytes) -> Voucher:
        message = self.store.voucher(session)
        if message is None:
            raise UnknownSession(f"no voucher of session {to_hex(session)} is stored; send the `session` message first")
        return message.voucher

    # -- what plugs say ---------------------------------------------------------------------------------------------------------------

    async def connected(self, connection: Connection) -> None:
        """Take the place of an older connection of the same plug, tell the time, and what the plug may have missed."""
        older = self.connections.get(connection.plug)
        if older is not None:
            older.drop()
        self.connections[connection.plug] = connection
        _log.info("plug connected", extra={"plug": to_hex(connection.plug), "peer": connection.peer})
        connection.spawn(self._keep_time(connection))
        self.sites.connected(connection)
        for plug in self.store.identities(connection.plug):
            await self._tell_settled(connection, plug)
        unfinished = self.store.unfinished(connection.plug)
        if unfinished is not None:
            self._watch_lock(connection, unfinished.session)

    def disconnected(self, connection: Connection) -> None:
        """Forget the connection."""
        self._unwatch_lock(connection)
        if self.connections.get(connection.plug) is connection:
            del self.connections[connection.plug]
        self.sites.disconnected(connection)
        _log.info("plug disconnected", extra={"plug": to_hex(connection.plug), "peer": connection.peer})

    async def received(self, connection: Connection, message: PlugMessage) -> None:
        """Take one message. Raises ProtocolError where it is refused, StoreError where it could not be kept."""
        match message:
            case ReceiptMessage():
                await self._take_receipt(connection, message)
            case SessionMessage():
                await self._take_session(connection, message)
            case Offer():
                connection.offer = message
            case Status():
                await self._take_status(connection, message)
            case Health():
                connection.health = message
            case Enrolment():
                self._take_enrolment(connection, message)
            case RetiredMessage():
                await self._take_retirement(connection, message)
            case Refused():
                _log.warning("the plug refused", extra={"peer": connection.peer, "code": message.code, "why": message.message})
                connection.declined(message)
                self.sites.refused(connection, message)
            case Pong():
                self.sites.answered(connection)

    async def quarantine(self, peer: str, error: ProtocolError, raw: bytes, plug: bytes | None) -> None:
        """Keep a refused frame with the reason, in the room of the plug (20 bytes) that has said hello."""
        _log.warning("refused a frame", extra={"peer": peer, "code": error.code, "why": str(error)})
        self.metrics.quarantined(error.code)
        await self._ingest.write(partial(self.store.add_quarantined, peer, error.code, str(error), raw, plug))

    async def _take_session(self, connection: Connection, message: SessionMessage) -> None:
        check_session(self._domain, self._identity(connection, message.voucher), message)
        await self._ingest.write(partial(self.store.add_voucher, message))
        connection.offer = None
        connection.answered(message.session)
        unfinished = self.store.unfinished(connection.plug)
        if unfinished is not None and unfinished.session == message.session:
            self._watch_lock(connection, message.session)

    def _identity(self, connection: Connection, voucher: Voucher) -> bytes:
        """Return the voucher's plug where the speaker has that key or has taken over from it, else the speaker's own address."""
        return voucher.plug if voucher.plug in self.store.identities(connection.plug) else connection.plug

    def _take_enrolment(self, connection: Connection, message: Enrolment) -> None:
        check_enrolment(self._domain, connection.plug, message)
        self._check_not_retired(message.plug)
        known = self.store.enrolment(message.plug)
        if known is None or known.epoch < message.epoch:
            self.store.put_enrolment(message)
        elif known.epoch > message.epoch:
            raise StaleEpoch(f"epoch {message.epoch} is below {known.epoch}, in which this plug has enrolled")
        elif known.host != message.host:
            raise Conflict(f"in epoch {message.epoch} this plug has enrolled for {to_hex(known.host)}; that stands")
        connection.answered(_question(message.epoch))

    async def _take_retirement(self, connection: Connection, message: RetiredMessage) -> None:
        check_retirement(self._domain, connection.plug, message)
        known, enrolment = self.store.retirement(message.plug), self.store.enrolment(message.plug)
        if known is not None:
            if (known.successor, known.epoch) == (message.successor, message.epoch):
                return
            # An old secret can be read from flash for a while: whoever has it must not take the unpaid receipts over.
            raise Retired(f"plug {to_hex(message.plug)} has retired in favour of {to_hex(known.successor)} in epoch {known.epoch}; that stands")
        if enrolment is not None and message.epoch <= enrolment.epoch:
            raise StaleEpoch(
                f"the retirement's epoch {message.epoch} is not above {enrolment.epoch}, in which plug {to_hex(message.plug)} has enrolled"
            )
        self.store.put_retirement(message)
        _log.info("a key has retired", extra={"plug": to_hex(message.plug), "successor": to_hex(message.successor)})
        await self._tell_settled(connection, message.plug)

    async def _tell_settled(self, connection: Connection, plug: bytes) -> None:
        for session in self.store.settled_sessions(plug, OUTBOX_SESSIONS):
            await connection.send(Settled(session))

    async def _take_receipt(self, connection: Connection, message: ReceiptMessage) -> None:
        receipt = message.receipt
        extra = {"session": to_hex(receipt.session), "sequence": receipt.sequence}
        came = time.monotonic()
        try:
            await self._time.check(receipt.asOf)
            status = await self._ingest.take(connection.plug, message)
        except (ProtocolError, StoreError) as error:
            outcome = "refused" if isinstance(error, ProtocolError) else "not_kept"
            self.metrics.receipt(outcome)
            _log.warning("receipt %s", outcome, extra=extra | {"peer": connection.peer, "code": error.code, "why": str(error)})
            raise
        self.metrics.receipt(status.value)
        if _log.isEnabledFor(logging.INFO):
            _log.info("receipt %s", status.value, extra=extra | {"energy_wh": receipt.energyWh, "final": receipt.final})
        await connection.send(Ack(receipt.session, receipt.sequence, status.value))
        self.metrics.acknowledged(time.monotonic() - came)
        if receipt.final:
            self._unwatch_lock(connection)
            connection.answered(receipt.session)
            self.settler.look()

    async def _take_status(self, connection: Connection, status: Status) -> None:
        await self._ingest.write(partial(self.store.add_status, connection.plug, status))
        connection.status = status
        self.sites.saw(connection, status)
        if status.state in ("authorised", "suspended"):
            unfinished = self.store.unfinished(connection.plug)
            if unfinished is not None and unfinished.session == status.session:
                self._watch_lock(connection, unfinished.session)
            return
        self._unwatch_lock(connection)
        if status.state == "ending" and status.session is not None:
            connection.answered(status.session)

    async def _say_settled(self, voucher: Voucher, session: bytes) -> None:
        for plug, connection in tuple(self.connections.items()):
            if voucher.plug in self.store.identities(plug):
                with suppress(PlugOffline):
                    await connection.send(Settled(session))

    # -- what the chain says ----------------------------------------------------------------------------------------------------------

    async def _keep_time(self, connection: Connection) -> None:
        while True:
            try:
                utc = await self._time.ask()
            except GatewayError as error:
                _log.warning("the chain's time is not known", extra={"code": error.code, "why": str(error)})
                await asyncio.sleep(self._timings.poll_s)
                continue
            await connection.send(Time(utc))
            connection.clock_set.set()
            await asyncio.sleep(self._timings.time_s)

    def _watch_lock(self, connection: Connection, session: bytes) -> None:
        """Have `lock` sent as soon as the session's lock is proven open."""
        watched = self._locks.get(connection)
        if watched is not None and watched[0] == session and not watched[1].done():
            return
        self._unwatch_lock(connection)
        self._locks[connection] = session, connection.spawn(self._confirm_lock(connection, session))

    def _unwatch_lock(self, connection: Connection) -> None:
        watched = self._locks.pop(connection, None)
        if watched is not None:
            watched[1].cancel()

    async def _confirm_lock(self, connection: Connection, session: bytes) -> None:
        # A plug does nothing with `lock` before its first `time`.
        await connection.clock_set.wait()
        pause_s = self._timings.poll_s
        while True:
            try:
                state = await self._chain.ask(self._gateway.session_state, session)
            except GatewayError as error:
                _log.warning("the lock cannot be looked up", extra={"session": to_hex(session), "code": error.code, "why": str(error)})
            else:
                if state.status == STATUS_OPEN:
                    await connection.send(Lock(session))
                    return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.2, 10 * self._timings.poll_s)


def _question(epoch: int) -> bytes:
    """Return what `Connection.ask` knows a question for an epoch by; no session is as short."""
    return epoch.to_bytes(8)
