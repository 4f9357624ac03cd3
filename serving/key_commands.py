"""`needle-serve keys create | list | revoke`: who may ask the server, and how often."""

import argparse
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from needle.commands import Answer
from needle.environment import home
from serving.engine.keys import SCOPES, Key, Keys

SECONDS = {"s": 1, "m": 60, "h": 3600}


def state_folder(given: Path | None) -> Path:
    """Where the server keeps what outlives it: the folder that was given, or one in the cache."""
    return given or home() / "serving"


def keys_of(folder: Path | None) -> Keys:
    """The keys in a state folder."""
    return Keys(state_folder(folder) / "state.db")


def add_state(parser: argparse.ArgumentParser) -> None:
    """Add `--state`."""
    what = "where keys, and what was used with them, are kept (default: serving in NEEDLE_HOME)"
    parser.add_argument("--state", type=Path, metavar="FOLDER", help=what)


def add_keys(commands: Any) -> None:
    """Add `keys` and what it can do to the subcommands."""
    keys = commands.add_parser("keys", help="make, list and revoke keys", description=__doc__)
    actions = keys.add_subparsers(dest="keys", required=True)

    def command(name: str, do: Any, about: str) -> Any:
        added: Any = actions.add_parser(name, help=about, description=about)
        add_state(added)
        added.answers()
        added.set_defaults(run=do)
        return added

    create = command("create", create_key, "make a key; it is printed once, and only its hash is kept")
    what = f"what it may be used for, separated by commas: {', '.join(SCOPES)}"
    create.add_argument("--scope", type=scopes, default=("infer",), metavar="SCOPES", help=what)
    create.add_argument("--rate", type=rate, metavar="N/s", help="requests per s, m or h (default: any number)")
    create.add_argument("--name", default="", help="whose it is, for the list")
    command("list", list_keys, "the keys, and what was used with them")
    command("revoke", revoke_key, "refuse a key from now on").add_argument("key", help="its id, key-...")


def scopes(text: str) -> tuple[str, ...]:
    """The scopes in `infer,train`."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if not set(found) <= set(SCOPES):
        raise argparse.ArgumentTypeError(f"must be some of {', '.join(SCOPES)}, separated by commas, got {text!r}")
    return found


def rate(text: str) -> float:
    """`10/s`, `600/m` or `1000/h` in requests per second."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)/([smh])", text)
    if not found or float(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"must be a number of requests per s, m or h, such as 10/s, got {text!r}")
    return float(found[1]) / SECONDS[found[2]]


def create_key(options: argparse.Namespace) -> Answer:
    keys = keys_of(options.state)
    key, secret = keys.create(options.scope, options.rate, options.name)
    keys.close()
    about = f"{key.id} for {', '.join(key.scopes)}; this is the only time that it is shown:"
    return Answer({**_plain(key), "secret": secret}, f"{about}\n{secret}")


def list_keys(options: argparse.Namespace) -> Answer:
    keys = keys_of(options.state)
    found, used = keys.every(), keys.usage()
    keys.close()
    totals = {key.id: sum(row["requests"] for row in used if row["key"] == key.id) for key in found}
    lines = [
        f"{key.id}  {', '.join(key.scopes):<20} {_rate(key):<12} {totals[key.id]:>8} requests  {_when(key)}  {key.name}"
        for key in found
    ]
    data = [{**_plain(key), "requests": totals[key.id]} for key in found]
    return Answer(data, "\n".join(lines) or "there are no keys")


def revoke_key(options: argparse.Namespace) -> Answer:
    keys = keys_of(options.state)
    key = keys.revoke(options.key)
    keys.close()
    return Answer(_plain(key), f"{key.id} is refused from now on")


def _plain(key: Key) -> dict[str, Any]:
    return {**vars(key), "scopes": list(key.scopes)}


def _rate(key: Key) -> str:
    return f"{key.rate:g}/s" if key.rate is not None else "any rate"


def _when(key: Key) -> str:
    if key.revoked is not None:
        return f"revoked {datetime.fromtimestamp(key.revoked, UTC):%Y-%m-%d}"
    return f"since {datetime.fromtimestamp(key.created, UTC):%Y-%m-%d}"
