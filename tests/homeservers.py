"""A homeserver as far as a check looks at one: what it answers, path by path."""

import time
from collections.abc import Callable
from typing import Any

from signing import SigningKey, key_document

from matrix_resolve.testing import Reply, Request

VERSION = "/_matrix/federation/v1/version"
KEYS = "/_matrix/key/v2/server"
VERSIONS = "/_matrix/client/versions"
CLIENT = "/.well-known/matrix/client"
SUPPORT = "/.well-known/matrix/support"

ANY_ORIGIN = [("Access-Control-Allow-Origin", "*")]
_KEY = SigningKey()


def homeserver(
    name: str, *keys: SigningKey, client_api: str | None = None, **members: Any
) -> Callable[[Request], Any]:
    """Return the behaviour of the homeserver of `name`.

    `client_api` is where its clients are sent, by default nowhere. `members` are put into the key
    document, `...` leaves one out.
    """
    keys = keys or (_KEY,)
    until = int(time.time() * 1000) + 86_400_000
    document = key_document(keys, **({"server_name": name, "valid_until_ts": until} | members))
    answers: dict[str, Any] = {
        VERSION: {"server": {"name": "Loopback", "version": "1.0"}},
        KEYS: document,
    }
    if client_api is not None:
        answers[CLIENT] = Reply(headers=ANY_ORIGIN, body={"m.homeserver": {"base_url": client_api}})
        answers[VERSIONS] = Reply(headers=ANY_ORIGIN, body={"versions": ["v1.11"]})
        contact = {"role": "m.role.admin", "email_address": f"admin@{name}"}
        answers[SUPPORT] = Reply(headers=ANY_ORIGIN, body={"contacts": [contact]})
    return lambda request: answers.get(request.path)


def with_answer(
    serves: Callable[[Request], Any], path: str, answer: Any
) -> Callable[[Request], Any]:
    """Return a behaviour that answers one path in another way."""
    return lambda request: answer if request.path == path else serves(request)
