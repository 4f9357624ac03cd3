"""`needle-serve keys create | list | revoke`: who may ask the server, and how often."""

import argparse
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from needle.commands import Answer
from needle.environment import home
from serving.engine.database import DATABASE, Place
from serving.engine.keys import SCOPES, Key, Keys

SECONDS = {"s": 1, "m": 60, "h": 3600}


class State(NamedTuple):
    """Where a server keeps what outlives it: files in a folder, rows in an SQLite file there or in a database."""

    folder: Path
    place: Place

    def keys(self) -> Keys:
        """The keys that are kept there."""
        return Keys(self.place)


def state_of(options: argparse.Namespace) -> State:
    """What `--state` and `--database` say."""
    folder = options.state or home() / "serving"
    return State(folder, options.database or folder / "state.db")


def add_state(parser: argparse.ArgumentParser) -> None:
    """Add `--state` and `--database`."""
    what = "where keys, what was used with them, and fine-tuning are kept (default: serving in NEEDLE_HOME)"
    parser.add_argument("--state", type=Path, metavar="FOLDER", help=what)
    what = "keep the rows in PostgreSQL, at postgresql://USER@HOST/NAME: for servers that share the folder --state"
    database = os.environ.get(DATABASE) or None
    parser.add_argument("--database", metavar="URL", default=database, help=f"{what} (default: {DATABASE})")


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
    keys = state_of(options).keys()
    key, secret = keys.create(options.scope, options.rate, options.name)
    keys.close()
    about = f"{key.id} for {', '.join(key.scopes)}; this is the only time that it is shown:"
    return Answer({**_plain(key), "secret": secret}, f"{about}\n{secret}")


def list_keys(options: argparse.Namespace) -> Answer:
    keys = state_of(options).keys()
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
    keys = state_of(options).keys()
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
