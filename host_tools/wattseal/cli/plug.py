"""`wattseal plug`: a plug's key, asked of the relay's HTTP API, and its password at an MQTT broker."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from wattseal.errors import LinkError

app = typer.Typer(help="Look at a plug's key, have it enrolled, let it in at a broker.", no_args_is_help=True, rich_markup_mode=None)

Plug = Annotated[str, typer.Argument(help="The plug's address, 0x and 40 hex digits.")]
Api = Annotated[str, typer.Option(help="The relay's HTTP API.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs and as an export.")]
_API = "http://127.0.0.1:7141"
_TIMEOUT_S = 60  # the relay waits 30 for the plug
_SHOWN = ("plug", "host", "epoch", "curve", "public_key", "signature", "chain_id", "contract")


@app.command()
def key(plug: Plug, api: Api = _API, as_json: AsJson = False) -> None:
    """Show the plug's public key, its address and the enrolment that it has signed."""
    _show(_ask("GET", api, plug, "key"), as_json)


@app.command()
def enrol(
    plug: Plug,
    epoch: Annotated[int | None, typer.Option(min=1, max=(1 << 64) - 1, help="Above the plug's last one; the relay's next unless given.")] = None,
    api: Api = _API,
    as_json: AsJson = False,
) -> None:
    """Have the plug sign for whom it works: the host in its own config.json. Safe to repeat."""
    _show(_ask("POST", api, plug, "enrolments", {"epoch": epoch}), as_json)


@app.command()
def mqtt_user(plug: Plug, users: Annotated[Path, typer.Option(help="Password file of --mqtt-users or of Mosquitto; made if missing.")]) -> None:
    """Give a plug a new password at the broker and print it, once: it belongs into `relay` of the plug's config.json.

    The file keeps a hash only. A relay that is the broker itself reads the file when it starts, Mosquitto also on SIGHUP.
    """
    from wattseal.relay.links.users import make_user

    user = _address(plug)[2:]
    typer.echo(json.dumps({"user": user, "password": make_user(users, user)}))


def _address(plug: str) -> str:
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", plug):
        raise typer.BadParameter(f"{plug!r} is not 0x and 40 hex digits")
    return plug.lower()


def _ask(method: str, api: str, plug: str, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the API's answer. Raises LinkError with the relay's own words where it refuses."""
    import httpx

    address = _address(plug)
    try:
        response = httpx.request(method, f"{api.rstrip('/')}/plugs/{address}/{what}", json=body, timeout=_TIMEOUT_S)
        answer: Any = response.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise LinkError(f"no answer from the relay at {api}: {error!r}; is it running, and is this its --api?") from error
    if isinstance(answer, dict) and not response.is_success and {"code", "message"} <= answer.keys():
        raise LinkError(f"the relay refused: {answer['message']} [{answer['code']}]")
    if not isinstance(answer, dict) or not response.is_success or not {*_SHOWN, "retirements", "retired"} <= answer.keys():
        raise LinkError(f"what answers at {api} is no relay of this version (status {response.status_code}): is this its --api?")
    return answer


def _show(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")  # a signature is of no use without its end
    for name in _SHOWN:
        table.add_row(name.replace("_", " "), str(answer[name]))
    if answer["retired"] is not None:
        table.add_row("RETIRED", f"in favour of {answer['retired']['successor']} in epoch {answer['retired']['epoch']}")
    for retirement in answer["retirements"]:
        table.add_row("took over from", f"{retirement['plug']} in epoch {retirement['epoch']}")
    Console(width=160).print(table)
