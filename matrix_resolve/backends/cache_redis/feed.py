"""What other processes publish in Redis, heard one by one."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from typing import Any, Final

from redis.exceptions import RedisError

from matrix_resolve.backends.cache_redis.link import Link, failure, readable
from matrix_resolve.backends.cache_redis.patience import patiently
from matrix_resolve.errors import CacheError

# A feed that is quiet for so long (seconds) is asked for a sign of life, which has as long to come.
_QUIET: Final = 1.0
_KINDS: Final = (None, "subscribe", "message", "pong")


async def messages(link: Link, channel: str) -> AsyncGenerator[bytes | str | None, None]:
    """Yield None once it listens, then what is published, and b"" now and then when nothing is.

    Raises `CacheError` when it is cut off, and when it may be listening to a Redis that is not the
    one to ask any more.
    """
    replaced, loop = link.replaced, asyncio.get_running_loop()
    try:
        async with link.pubsub() as feed:
            await _asked(link.renew())
            await _asked(link.reach())
            await _asked(feed.subscribe(channel))
            listening = asked = False
            while True:
                # What is there already is read without waiting: others want the event loop too.
                await asyncio.sleep(0)
                began = loop.time()
                # redis-py may try to connect again and again: not for longer than this.
                message = await _asked(feed.get_message(timeout=_QUIET), 2 * _QUIET)
                if link.replaced != replaced:
                    raise CacheError("another Redis may be the one to listen to")
                kind, data = (None, b"") if message is None else (message["type"], message["data"])
                if listening == (kind == "subscribe") or kind not in _KINDS:
                    # Nobody let us in; or redis-py has connected anew by itself.
                    raise CacheError("the subscription in Redis has ended, or never begun")
                if kind is None:
                    is_held_up = loop.time() > began + 1.5 * _QUIET  # a sign may be there already
                    if asked and not is_held_up:
                        raise CacheError("Redis has gone silent")
                    await _asked(feed.ping())
                asked = kind is None
                if kind == "subscribe":
                    listening = True
                    yield None
                else:
                    yield data if isinstance(data, bytes | str) else b""
    except CacheError:
        link.doubt()
        raise
    except (RedisError, OSError) as error:
        link.doubt()
        link.heed(error)
        raise failure(error) from error


async def check(link: Link, channel: str) -> None:
    """Raise `RedisError` or `OSError` if one can't listen."""
    async with link.pubsub() as feed:
        with readable():
            await feed.subscribe(channel)
            message = await feed.get_message(timeout=None)
        if message is None or message["type"] != "subscribe":
            raise RedisError("what answers lets nobody subscribe")


async def _asked(asked: Awaitable[Any], seconds: float = _QUIET) -> Any:
    async def read() -> Any:
        with readable():
            return await asked

    return await patiently(seconds, read())
