"""The record of what was dialled, and the count of what is open."""

import asyncio
import socket

import aiohttp
import pytest
from houses import CERTIFICATES, IPV4, NAME, WRONG, House, on_linux
from worlds import HANGS

from matrix_resolve.testing import Refused
from matrix_resolve.transport.pinning import pin
from matrix_resolve.transport.session import open_session
from matrix_resolve.transport.sockets import Sockets, new_record

INFO = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 443))


@on_linux
async def test_all_that_a_request_dials_is_recorded() -> None:
    """Every address of a house where none is good, in the order in which they were dialled."""
    house = House({IPV4[0]: Refused(), IPV4[1]: WRONG, IPV4[2]: Refused()})

    async def found() -> list[tuple[str, int]]:
        return [(address, house.port) for address in IPV4[:3]]

    context = CERTIFICATES.client_context()
    try:
        async with (
            asyncio.timeout(HANGS),
            open_session(Sockets(), ssl_context=context) as session,
        ):
            record = new_record()
            pin(found, NAME)
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(f"https://{NAME}:{house.port}/")
        assert list(dict.fromkeys(record)) == list(IPV4[:3])
    finally:
        await house.aclose()


async def test_each_task_has_its_record() -> None:
    """A record has what its own task dials, until another one is begun."""
    sockets = Sockets()

    async def opens(*addresses: str) -> list[str]:
        record = new_record()
        for address in addresses:
            sockets((*INFO[:4], (address, 443))).close()
            await asyncio.sleep(0)
        new_record()
        sockets(INFO).close()
        return record

    records = await asyncio.gather(opens("10.0.0.1"), opens("10.0.0.2", "::1", "10.0.0.2"))
    assert records == [["10.0.0.1"], ["10.0.0.2", "::1", "10.0.0.2"]]


def test_open_sockets_are_counted() -> None:
    """Those that were closed do not count, however they were closed."""
    sockets = Sockets()
    opened = [sockets(INFO) for _ in range(3)]
    assert sockets.open_at_least(3)
    assert not sockets.open_at_least(4)
    opened[0].close()
    assert not sockets.open_at_least(3)
    assert sockets.open_at_least(2)
    socket.socket(fileno=opened[1].detach()).close()
    assert not sockets.open_at_least(2)
    opened[2].close()
    assert not sockets.open_at_least(1)
