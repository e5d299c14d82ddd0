"""The record of what was dialled, and the count of what is open."""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from houses import BAD, CERTIFICATES, IPV4, NAME, WRONG, Blackhole, House, on_linux
from worlds import HANGS

from matrix_resolve.testing import Refused
from matrix_resolve.transport.pinning import pin
from matrix_resolve.transport.session import open_session
from matrix_resolve.transport.sockets import Record, Sockets, recording

INFO = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 443))


async def recorded(doors: Mapping[str, Any], connect: float = HANGS) -> Record:
    """The record of a request to a house where no door is good, its port as "*"."""
    house = House(doors)
    port = house.port

    async def found() -> list[tuple[str, int]]:
        return [(address, port) for address in doors]

    context = CERTIFICATES.client_context()
    try:
        async with (
            asyncio.timeout(HANGS),
            open_session(Sockets(), ssl_context=context) as session,
        ):
            with recording() as record:
                pin(found, NAME)
                with pytest.raises((aiohttp.ClientConnectorError, TimeoutError)):
                    await session.get(
                        f"https://{NAME}:{port}/", timeout=aiohttp.ClientTimeout(connect=connect)
                    )
            return {ip: told and told.replace(str(port), "*") for ip, told in record.items()}
    finally:
        await house.aclose()


def refused(address: str) -> str:
    """What is told of an address that refuses."""
    return f"[Errno 111] Connect call failed ('{address}', *)"


@on_linux
async def test_each_refusal_is_noted_of_its_own_address() -> None:
    """What aiohappyeyeballs tells of a race together is noted one by one."""
    record = await recorded(dict.fromkeys(IPV4, Refused()))
    assert record == {ip: refused(ip) for ip in IPV4}


@on_linux
@pytest.mark.parametrize("bad", ["wrong certificate", "closes", "no TLS"])
async def test_what_fails_later_is_not_noted(bad: str) -> None:
    """An address that takes TCP, and is no good then, is not told to have refused."""
    record = await recorded({IPV4[0]: Refused(), IPV4[1]: BAD[bad]})
    assert record == {IPV4[0]: refused(IPV4[0]), IPV4[1]: None}


@on_linux
async def test_what_is_given_up_is_not_noted() -> None:
    """An address that lost the race may be as good as any."""
    record = await recorded({IPV4[0]: Blackhole(), IPV4[1]: WRONG})
    assert record.keys() == set(IPV4[:2])
    assert record[IPV4[0]] is None
    record = await recorded({IPV4[0]: Blackhole()}, 0.1)
    assert record == {IPV4[0]: None}


@on_linux
@pytest.mark.parametrize("doors", [{"127.0.0.2": WRONG}, {"127.0.0.2": WRONG, "127.0.0.3": WRONG}])
def test_an_error_of_others_is_not_noted(doors: dict[str, Any]) -> None:
    """An event loop may run where some error is being handled: it has nothing to do with us."""
    try:
        raise ConnectionRefusedError("another")
    except ConnectionRefusedError:
        record = asyncio.run(recorded(doors))
    assert set(record.values()) == {None}


async def test_each_task_has_its_record() -> None:
    """A record has what its own task dials, and ends with its context."""
    sockets = Sockets()

    async def opens(*addresses: str) -> Record:
        with recording() as record:
            for address in addresses:
                sockets((*INFO[:4], (address, 443))).close()
                await asyncio.sleep(0)
        sockets(INFO).close()
        return record

    records = await asyncio.gather(opens("10.0.0.1"), opens("10.0.0.2", "::1", "10.0.0.2"))
    assert [[*record] for record in records] == [["10.0.0.1"], ["10.0.0.2", "::1"]]


def test_only_the_first_close_counts() -> None:
    """A socket that is closed once more while something else goes wrong stays as it was."""
    with recording() as record:
        sock = Sockets()(INFO)
    sock.close()
    try:
        raise ssl.SSLError("another")
    except OSError:
        sock.close()
    assert record == {"127.0.0.1": None}


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
