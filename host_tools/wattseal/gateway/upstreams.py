"""Several JSON-RPC servers as one: the next is asked where one fails; one whose answer is proven wrong is named, and asked last."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from wattseal.errors import ConfigError, ProofError, RpcError, TimeUp
from wattseal.gateway.header import TrustedRpcHeaders
from wattseal.gateway.known_headers import KnownHeaders
from wattseal.gateway.rpc import Rpc, quantity
from wattseal.gateway.types import Header

_Answer = TypeVar("_Answer")

# How long a server that did not answer in time is asked last, at first and at most.
FIRST_REST_S = 1.0
LONGEST_REST_S = 60.0
# How long one that was caught lying is not asked at all. An honest one that was in the middle of a block may be all that a home has.
FIRST_LIE_REST_S = 60.0
LONGEST_LIE_REST_S = 3600.0


@dataclass
class Upstream:
    """One server and what was seen of it. `lie` is the first for which it was dropped, None where there was none."""

    rpc: Rpc
    headers: TrustedRpcHeaders
    answers: int = 0
    errors: int = 0
    lies: int = 0
    lie: str | None = None
    last_error: str | None = None
    rest_s: float = field(default=FIRST_REST_S, repr=False)
    rests_until: float = field(default=0.0, repr=False)
    chain_checked: bool = field(default=False, repr=False)

    @property
    def name(self) -> str:
        """The server's host and port; the rest of its address may hold a secret."""
        return self.rpc.server


class Upstreams:
    """The servers that are asked, in the order given. Thread-safe."""

    def __init__(self, urls: Sequence[str], chain_id: int, timeout_s: float = 10.0, on_lie: Callable[[Upstream], None] = lambda _: None) -> None:
        """`on_lie` is told each server that is dropped. Raises ConfigError without a URL. Nothing is asked yet."""
        if not urls:
            raise ConfigError("no JSON-RPC server is given; give at least one")
        rpcs = [Rpc(url, timeout_s) for url in urls]
        self.chain_id = chain_id
        self._timeout_s = timeout_s
        self.all = [Upstream(rpc, TrustedRpcHeaders(rpc, chain_id)) for rpc in rpcs]
        self.known = KnownHeaders(self)
        self._on_lie = on_lie
        self._lock = threading.Lock()

    def ask(self, question: Callable[[Rpc], _Answer]) -> _Answer:
        """Return the first answer. `question` asks one server and checks the proof.

        A second ProofError in a row drops the server, an RpcError rests it, as does an answer that took longer than `timeout_s`.
        Raises the last error when none of the servers is left to ask.
        """
        return self.ask_upstream(lambda upstream: question(upstream.rpc))

    def ask_upstream(self, question: Callable[[Upstream], _Answer]) -> _Answer:
        """Do what `ask` does, with the server's own entry."""
        error: RpcError | ProofError | None = None
        for upstream in self._in_order():
            try:
                return self._ask_one(upstream, question)
            except (RpcError, ProofError) as failure:
                error = failure
        raise error or self._all_dropped()

    def each(self, question: Callable[[Rpc], _Answer]) -> Iterator[tuple[Upstream, _Answer]]:
        """Yield every server's answer, without waiting again for one that just failed while another answers. Raises RpcError, ProofError for none."""
        errors: list[RpcError | ProofError] = []
        answered = False
        for upstream in self._in_order():
            if answered and (upstream.lie is not None or upstream.rests_until > time.monotonic()):
                continue
            try:
                answer = self._ask_one(upstream, lambda asked: question(asked.rpc))
            except (RpcError, ProofError) as error:
                errors.append(error)
                continue
            answered = True
            yield upstream, answer
        if not answered:
            # a server that understood the question says more than one that did not answer
            raise next((e for e in errors if isinstance(e, RpcError) and e.rpc_code is not None), errors[0] if errors else self._all_dropped())

    def caught(self, upstream: Upstream, lie: str) -> ProofError:
        """Drop a server whose answer another proof contradicts; return the error that says so. It comes back where no other answers, after a rest."""
        with self._lock:
            first = upstream.lie is None
            upstream.lies += 1
            upstream.lie = upstream.lie or lie
            upstream.rests_until = time.monotonic() + min(FIRST_LIE_REST_S * 2 ** min(upstream.lies - 1, 10), LONGEST_LIE_REST_S)
        if first:
            self._on_lie(upstream)
        return ProofError(f"upstream {upstream.name} was caught lying: {lie}")

    def _all_dropped(self) -> ProofError:
        lies = "; ".join(f"{upstream.name}: {upstream.lie}" for upstream in self.all)
        rest_s = min(upstream.rests_until for upstream in self.all) - time.monotonic()
        return ProofError(
            f"every upstream was caught lying ({lies}) and is asked again in {max(rest_s, 0):.0f} s at the earliest; give another --rpc"
        )

    def _in_order(self) -> list[Upstream]:
        """Return the servers to ask, in the order given: those at work, those that rest, and last those that lied and have rested."""
        now = time.monotonic()
        asked = [upstream for upstream in self.all if upstream.lie is None or upstream.rests_until <= now]
        return sorted(asked, key=lambda upstream: (upstream.lie is not None, upstream.rests_until > now))

    def _ask_one(self, upstream: Upstream, question: Callable[[Upstream], _Answer]) -> _Answer:
        late_at = time.monotonic() + self._timeout_s
        try:
            if not upstream.chain_checked:
                self._check_chain(upstream)
            answer = _asked_twice(upstream, question)
        except ProofError as error:
            raise self.caught(upstream, str(error)) from error
        except RpcError as error:
            self._failed(upstream, error)
            raise
        except TimeUp:
            if time.monotonic() >= late_at:
                self._rest(upstream)
            raise
        with self._lock:
            upstream.answers += 1
            if time.monotonic() < late_at:
                upstream.rest_s, upstream.rests_until = FIRST_REST_S, 0.0
                return answer
        self._rest(upstream)  # else answers that drip in would use up everybody's time, with others that are faster
        return answer

    def _check_chain(self, upstream: Upstream) -> None:
        chain_id = quantity(upstream.rpc.call("eth_chainId"), "chain id")
        if chain_id != self.chain_id:
            raise RpcError(f"the RPC at {upstream.name} serves chain {chain_id}, not {self.chain_id}; set the right address or chain id")
        upstream.chain_checked = True

    def _failed(self, upstream: Upstream, error: RpcError) -> None:
        with self._lock:
            upstream.errors += 1
            upstream.last_error = str(error)
        if error.rpc_code is None:  # else it answered, but cannot or will not do this
            self._rest(upstream)

    def _rest(self, upstream: Upstream) -> None:
        with self._lock:
            upstream.rests_until = time.monotonic() + upstream.rest_s
            upstream.rest_s = min(2 * upstream.rest_s, LONGEST_REST_S)


def _asked_twice(upstream: Upstream, question: Callable[[Upstream], _Answer]) -> _Answer:
    """Return the first answer, or the second where the first is not proven.

    A server that takes a block in may answer from the states of two (anvil does); a liar lies again.
    """
    try:
        return question(upstream)
    except ProofError:
        return question(upstream)


class UpstreamHeaders:
    """`TrustedRpcHeaders` of whichever upstream answers."""

    basis = TrustedRpcHeaders.basis

    def __init__(self, upstreams: Upstreams) -> None:
        """Nothing is asked yet."""
        self._upstreams = upstreams

    def latest(self) -> Header:
        """Return the newest header of the first upstream that answers. Raises RpcError, ProofError."""
        return self._upstreams.ask_upstream(lambda upstream: upstream.headers.latest())

    def by_number(self, number: int) -> Header:
        """Return that upstream's header of a number. Raises RpcError, ProofError."""
        return self._upstreams.ask_upstream(lambda upstream: upstream.headers.by_number(number))
