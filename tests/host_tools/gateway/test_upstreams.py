"""Servers that fail, one way each: a clear error, the next server, and no growth."""

import json
import time

import pytest
from wattseal.errors import ConfigError, ProofError, RpcError, TimeUp
from wattseal.gateway import rpc as rpc_module
from wattseal.gateway import upstreams as upstreams_module
from wattseal.gateway.time_limit import time_limit
from wattseal.gateway.upstreams import UpstreamHeaders, Upstreams

from tests.host_tools.gateway.http_server import serve

CHAIN_ID = 31337


def result(request, value):
    return json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": value}).encode()


def good(request):
    return result(request, hex(CHAIN_ID) if request["method"] == "eth_chainId" else "good")


def after_chain_id(answer):
    """Answers the chain id well, and everything else so."""
    return lambda request: good(request) if request["method"] == "eth_chainId" else answer(request)


FAILURES = {
    "HTTP 429": (lambda _: (429, {}, b"{}"), "limits requests (HTTP 429)"),
    "HTTP 500": (lambda _: (500, {}, b"<html>"), "did not answer in JSON"),
    "no JSON": (lambda _: b"\xff\xfe", "did not answer in JSON"),
    "cut off": (lambda request: result(request, "x" * 100)[:-9], "did not answer in JSON"),
    "deep JSON": (lambda _: b"[" * 200_000, "did not answer in JSON"),
    "another id": (lambda request: result(request | {"id": 10**6}, 1), "answered something else"),
    "an error": (lambda request: json.dumps({"id": request["id"], "error": {"code": -32005, "message": "too much"}}).encode(), "too much"),
    "wide JSON": (lambda request: result(request, [[]] * 50_000), "did not answer in JSON"),
    "too long": (lambda _: b" " * 400_000, "more than 300000 bytes"),
    "too late": (lambda request: time.sleep(0.5) or good(request), "no answer"),
}


@pytest.fixture(params=FAILURES)
def failing(request, monkeypatch):
    monkeypatch.setattr(rpc_module, "MAX_OTHER_BYTES", 300_000)
    answer, message = FAILURES[request.param]
    with serve(after_chain_id(answer)) as url:
        yield url, message


def ask(upstreams):
    return upstreams.ask(lambda rpc: rpc.call("question"))


def test_a_failing_server_is_a_clear_error(failing):
    url, message = failing
    upstreams = Upstreams([url], CHAIN_ID, timeout_s=0.2)
    with pytest.raises(RpcError) as caught:
        ask(upstreams)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400
    assert (upstreams.all[0].errors, upstreams.all[0].lies) == (1, 0)


def test_the_next_server_answers_instead(failing):
    url, message = failing
    with serve(good) as other:
        upstreams = Upstreams([url, other], CHAIN_ID, timeout_s=0.2)
        assert ask(upstreams) == "good"
        assert message in (upstreams.all[0].last_error or "")
        assert upstreams.all[1].answers == 1


def test_a_server_of_another_chain_is_not_used():
    with serve(lambda request: result(request, "0x1")) as wrong, serve(good) as right:
        with pytest.raises(RpcError, match="serves chain 1, not 31337"):
            ask(Upstreams([wrong], CHAIN_ID))
        assert ask(Upstreams([wrong, right], CHAIN_ID)) == "good"


def test_a_dead_server_rests_before_it_is_asked_first_again(monkeypatch):
    asked = []
    ok = False

    def answer(request):
        asked.append("first")
        return result(request, "first") if ok else (429, {}, b"")

    with serve(after_chain_id(answer)) as first, serve(good) as second:
        upstreams = Upstreams([first, second], CHAIN_ID)
        for _ in range(3):
            assert ask(upstreams) == "good"
        assert asked == ["first"]
        ok = True
        now = time.monotonic()
        monkeypatch.setattr(upstreams_module.time, "monotonic", lambda: now + 2 * upstreams_module.FIRST_REST_S)
        assert ask(upstreams) == "first"


def test_a_resting_server_is_asked_where_no_other_answers():
    with serve(after_chain_id(lambda _: (429, {}, b""))) as only:
        upstreams = Upstreams([only], CHAIN_ID)
        for count in (1, 2):
            with pytest.raises(RpcError, match="429"):
                ask(upstreams)
            assert upstreams.all[0].errors == count


def test_a_refusal_is_no_reason_to_rest():
    """A server that answers with an error of its own works."""
    with serve(after_chain_id(FAILURES["an error"][0])) as url:
        upstreams = Upstreams([url], CHAIN_ID)
        with pytest.raises(RpcError):
            ask(upstreams)
        assert upstreams.all[0].rests_until == 0


def test_a_liar_is_dropped_for_good_and_told_of_once():
    told = []
    with serve(good) as first, serve(good) as second:
        upstreams = Upstreams([first, second], CHAIN_ID, on_lie=lambda upstream: told.append(upstream.name))

        def question(rpc):
            if rpc is upstreams.all[0].rpc:
                raise ProofError("the sum is wrong")
            return rpc.call("question")

        for _ in range(3):
            assert upstreams.ask(question) == "good"
        assert told == [upstreams.all[0].name]
        assert (upstreams.all[0].lies, upstreams.all[0].lie) == (1, "the sum is wrong")
        upstreams.caught(upstreams.all[1], "so is this")
        with pytest.raises(ProofError, match="every upstream was caught lying"):
            ask(upstreams)
        with pytest.raises(ProofError, match="every upstream was caught lying"):
            list(upstreams.each(lambda rpc: rpc.call("question")))


def test_a_home_with_one_server_gets_it_back_after_a_rest(monkeypatch):
    """Its answers are checked as before: each lie that follows doubles the rest."""
    now = time.monotonic()
    monkeypatch.setattr(upstreams_module.time, "monotonic", lambda: now)
    asked, honest = [], False

    def question(_):
        asked.append(now)
        if not honest:
            raise ProofError("of the next block")
        return "good"

    with serve(good) as only:
        upstreams = Upstreams([only], CHAIN_ID)
        for rest_s in (60, 120, 240, 480, 960, 1920, 3600, 3600):
            with pytest.raises(ProofError, match="caught lying: of the next block"):
                upstreams.ask(question)
            count = len(asked)
            now += rest_s - 1
            with pytest.raises(ProofError, match=r"asked again in 1 s at the earliest; give another --rpc"):
                upstreams.ask(question)
            assert len(asked) == count
            now += 1
        honest = True
        assert [upstreams.ask(question), *(answer for _, answer in upstreams.each(question))] == ["good"] * 2


def test_a_liar_that_has_rested_is_asked_where_no_other_answers(monkeypatch):
    now = time.monotonic()
    answers = [True]
    with serve(good) as first, serve(after_chain_id(lambda request: good(request) if answers[0] else (429, {}, b""))) as second:
        upstreams = Upstreams([first, second], CHAIN_ID)
        liar, other = upstreams.all
        upstreams.caught(liar, "a lie")
        monkeypatch.setattr(upstreams_module.time, "monotonic", lambda: now + 120)
        assert [upstream for upstream, _ in upstreams.each(lambda rpc: rpc.call("question"))] == [other]
        assert (ask(upstreams), liar.answers) == ("good", 0)
        answers[0] = False
        assert [upstream for upstream, _ in upstreams.each(lambda rpc: rpc.call("question"))] == [liar]
        assert (ask(upstreams), liar.answers) == ("good", 2)


def test_a_slow_server_is_asked_last():
    """Its answers are good, each in time for itself; but they would use up the time of every question."""
    with serve(good) as first, serve(good) as second:
        upstreams = Upstreams([first, second], CHAIN_ID, timeout_s=0.2)
        slow = upstreams.all[0]

        def question(upstream):
            if upstream is slow:
                time.sleep(0.25)
            return upstream.rpc.call("question")

        for _ in range(3):
            assert upstreams.ask_upstream(question) == "good"
        assert [upstream.answers for upstream in upstreams.all] == [1, 2]
        upstreams.all[1].rests_until = float("inf")
        slow.rests_until = 0.0
        with pytest.raises(TimeUp), time_limit(0.25):
            upstreams.ask_upstream(lambda upstream: (time.sleep(0.3), upstream.rpc.call("question")))
        assert slow.rests_until > 0


def test_one_answer_that_is_not_proven_is_asked_for_again():
    """A node that makes a block may answer from the state of that one; whoever lies, lies again."""
    with serve(good) as only:
        upstreams = Upstreams([only], CHAIN_ID)
        answers = iter([ProofError("of the next block"), "good"])

        def question(_):
            answer = next(answers)
            if isinstance(answer, ProofError):
                raise answer
            return answer

        assert upstreams.ask(question) == "good"
        assert (upstreams.all[0].lies, upstreams.all[0].lie) == (0, None)


def test_each_gives_every_answer_and_skips_the_failing():
    with serve(good) as one, serve(after_chain_id(lambda _: (429, {}, b""))) as two, serve(good) as three:
        upstreams = Upstreams([one, two, three], CHAIN_ID)
        assert [answer for _, answer in upstreams.each(lambda rpc: rpc.call("question"))] == ["good", "good"]


def test_each_prefers_the_refusal_of_a_server_that_understood():
    with serve(after_chain_id(lambda _: (429, {}, b""))) as one, serve(after_chain_id(FAILURES["an error"][0])) as two:
        with pytest.raises(RpcError, match="too much") as caught:
            list(Upstreams([one, two], CHAIN_ID).each(lambda rpc: rpc.call("question")))
        assert caught.value.rpc_code == -32005


def test_addresses_secrets_are_in_no_message():
    upstreams = Upstreams(["http://user:hidden@127.0.0.1:1/v3/hidden"], CHAIN_ID)
    with pytest.raises(RpcError) as caught:
        UpstreamHeaders(upstreams).latest()
    assert "hidden" not in str(caught.value)
    assert "hidden" not in upstreams.all[0].name


def test_no_server_at_all():
    with pytest.raises(ConfigError):
        Upstreams([], CHAIN_ID)
