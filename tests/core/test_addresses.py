"""Which addresses may be dialled, and in which order."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix_resolve.core.addresses import DEFAULT_BLOCK, AddressPolicy, interleaved

IPAddress = IPv4Address | IPv6Address

BLOCKED_BY_DEFAULT = [
    # network, last address before it, first address after it; None where that is blocked as well
    ("0.0.0.0/8", None, "1.0.0.0"),
    ("10.0.0.0/8", "9.255.255.255", "11.0.0.0"),
    ("100.64.0.0/10", "100.63.255.255", "100.128.0.0"),
    ("127.0.0.0/8", "126.255.255.255", "128.0.0.0"),
    ("168.63.129.16/32", "168.63.129.15", "168.63.129.17"),
    ("169.254.0.0/16", "169.253.255.255", "169.255.0.0"),
    ("172.16.0.0/12", "172.15.255.255", "172.32.0.0"),
    ("192.0.0.0/24", "191.255.255.255", "192.0.1.0"),
    ("192.0.2.0/24", "192.0.1.255", "192.0.3.0"),
    ("192.88.99.0/24", "192.88.98.255", "192.88.100.0"),
    ("192.168.0.0/16", "192.167.255.255", "192.169.0.0"),
    ("198.18.0.0/15", "198.17.255.255", "198.20.0.0"),
    ("198.51.100.0/24", "198.51.99.255", "198.51.101.0"),
    ("203.0.113.0/24", "203.0.112.255", "203.0.114.0"),
    ("224.0.0.0/4", "223.255.255.255", None),
    ("240.0.0.0/4", None, None),
    ("::/3", None, "2000::"),
    ("2001::/23", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"),
    ("2001:db8::/32", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"),
    ("2002::/16", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"),
    ("3fff::/20", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"),
    ("4000::/2", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None),
    ("8000::/1", None, None),
]


def test_default_block_is_the_list_that_is_promised() -> None:
    """The networks blocked by default are those of the table, and no others."""
    assert [str(network) for network in DEFAULT_BLOCK] == [row[0] for row in BLOCKED_BY_DEFAULT]
    assert AddressPolicy().block == DEFAULT_BLOCK


@pytest.mark.parametrize(("text", "before", "after"), BLOCKED_BY_DEFAULT)
def test_network_is_blocked_from_its_first_to_its_last_address(
    text: str, before: str | None, after: str | None
) -> None:
    """Both ends are blocked; the neighbours outside are what the table says they are."""
    policy, network = AddressPolicy(), ip_network(text)
    first, last = network[0], network[-1]
    assert not policy.allows(first)
    assert not policy.allows(last)
    if before is not None:
        assert ip_address(before) + 1 == first
        assert policy.allows(ip_address(before))
    elif int(first) > 0:
        assert not policy.allows(first - 1)
    if after is not None:
        assert ip_address(after) - 1 == last
        assert policy.allows(ip_address(after))
    elif int(last) < 2**last.max_prefixlen - 1:
        assert not policy.allows(last + 1)


PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450::1", "2001:4860:4860::8888"]
INSIDE = [
    # address, allowed by default
    *(pytest.param(text, True, id=text) for text in PUBLIC),
    pytest.param("169.254.169.254", False, id="cloud metadata"),
    pytest.param("255.255.255.255", False, id="broadcast"),
    pytest.param("::1", False, id="IPv6 loopback"),
    pytest.param("::127.0.0.1", False, id="IPv4-compatible loopback"),
    pytest.param("::8.8.8.8", False, id="IPv4-compatible, public"),
    pytest.param("::ffff:127.0.0.1", False, id="mapped loopback"),
    pytest.param("::ffff:10.1.2.3", False, id="mapped private"),
    pytest.param("::ffff:0.0.0.0", False, id="first mapped"),
    pytest.param("::ffff:255.255.255.255", False, id="last mapped"),
    pytest.param("::ffff:8.8.8.8", True, id="mapped public"),
    pytest.param("64:ff9b::7f00:1", False, id="translated loopback"),
    pytest.param("64:ff9b::10.1.2.3", False, id="translated private"),
    pytest.param("64:ff9b::808:808", True, id="translated public"),
    pytest.param("::fffe:ffff:ffff", False, id="before the mapped ones"),
    pytest.param("::1:0:0:0", False, id="after the mapped ones"),
    pytest.param("::ffff:0:10.0.0.1", False, id="IPv4-translated, private"),
    pytest.param("::ffff:0:8.8.8.8", False, id="IPv4-translated, public"),
    pytest.param("64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", False, id="before the translated ones"),
    pytest.param("64:ff9b::1:0:0", False, id="after the translated ones"),
    pytest.param("64:ff9b:1::808:808", False, id="translated for local use"),
    pytest.param("64:ff9b:2::808:808", False, id="beside the translated ones"),
    pytest.param("::ffff:168.63.129.16", False, id="mapped host service"),
    pytest.param("200::1", False, id="formerly of NSAP"),
    pytest.param("100::1", False, id="discard"),
    pytest.param("1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", False, id="the last of ::/3"),
    pytest.param("5f00::1", False, id="segment routing"),
    pytest.param("e000::1", False, id="not given out"),
    pytest.param("f000::1", False, id="not given out, nearly local"),
    pytest.param("fbff::1", False, id="before unique local"),
    pytest.param("fd00::1", False, id="unique local"),
    pytest.param("fe00::1", False, id="after unique local"),
    pytest.param("fe80::1", False, id="link-local"),
    pytest.param("fec0::1", False, id="site-local"),
    pytest.param("ff02::1", False, id="multicast"),
    pytest.param("2002:7f00:1::", False, id="6to4 loopback"),
    pytest.param("2002:808:808::", False, id="6to4, public"),
    pytest.param("2001:0:808:808::", False, id="Teredo"),
]


@pytest.mark.parametrize(("text", "allowed"), INSIDE)
def test_default_policy(text: str, allowed: bool) -> None:
    """What is on the public Internet is allowed, an IPv4 address inside IPv6 by what it is."""
    assert AddressPolicy().allows(ip_address(text)) is allowed


SPECIAL_16 = {0x2002}
"""The 16-bit prefixes of 2000::/3 that are blocked as a whole."""
SPECIAL_32 = {0x20010DB8, *range(0x20010000, 0x20010200), *range(0x3FFF0000, 0x3FFF1000)}
"""And the 32-bit ones."""


def test_every_prefix_of_ipv6() -> None:
    """Of all 65,536 prefixes of 16 bits, and of 32 bits in those that are split, what is public."""
    policy = AddressPolicy()
    for prefix in range(2**16):
        if prefix in (0x2001, 0x3FFF):
            continue
        public = 0x2000 <= prefix <= 0x3FFF and prefix not in SPECIAL_16
        for rest in (0, 2**112 - 1):
            assert policy.allows(IPv6Address((prefix << 112) + rest)) is public, hex(prefix)
    for half in (0x2001, 0x3FFF):
        for prefix in range(half << 16, (half + 1) << 16):
            public = prefix not in SPECIAL_32
            for rest in (0, 2**96 - 1):
                assert policy.allows(IPv6Address((prefix << 96) + rest)) is public, hex(prefix)


def test_every_prefix_of_ipv4() -> None:
    """All over IPv4, and at each edge of the table: bare, mapped and translated are alike."""
    policy = AddressPolicy()
    blocked = [ip_network(row[0]) for row in BLOCKED_BY_DEFAULT if ":" not in row[0]]
    spans = [(int(each[0]), int(each[-1])) for each in blocked if each.prefixlen <= 24]
    edges = {edge + step for span in spans for edge in span for step in (-1, 0, 1)}
    for number in (edges - {-1, 2**32}).union(range(0, 2**32, 256 * 251)):
        public = not any(first <= number <= last for first, last in spans)
        forms = number, 0xFFFF << 32 | number, 0x64FF9B << 96 | number
        assert policy.allows(IPv4Address(forms[0])) is public, IPv4Address(number)
        assert policy.allows(IPv6Address(forms[1])) is public, IPv6Address(forms[1])
        assert policy.allows(IPv6Address(forms[2])) is public, IPv6Address(forms[2])


GIVEN = [
    # allow, block, address, allowed
    pytest.param(["10.0.0.0/8"], None, "10.1.2.3", True, id="allow wins over the default block"),
    pytest.param(["10.0.0.0/8"], None, "192.168.0.1", False, id="the rest of it stands"),
    pytest.param(["10.1.2.3"], None, "10.1.2.3", True, id="one address allowed"),
    pytest.param(["10.1.2.3"], None, "10.1.2.4", False, id="its neighbour not"),
    pytest.param([ip_network("fd00::/8")], None, "fd00::1", True, id="a network object"),
    pytest.param(
        ["8.0.0.0/8"], ["8.8.0.0/16"], "8.8.8.8", True, id="allow wins over a block within"
    ),
    pytest.param(["8.8.8.0/24"], ["8.0.0.0/8"], "8.8.8.8", True, id="allow within a block"),
    pytest.param(
        ["127.0.0.0/8"], None, "::ffff:127.0.0.1", True, id="IPv4 inside, mapped, allowed"
    ),
    pytest.param(["127.0.0.0/8"], None, "64:ff9b::7f00:1", True, id="IPv4 inside, NAT64, allowed"),
    pytest.param(["127.0.0.0/8"], None, "::127.0.0.1", False, id="IPv4-compatible is another"),
    pytest.param(["64:ff9b::/96"], None, "64:ff9b::7f00:1", True, id="the embedding allowed"),
    pytest.param([], ["8.8.8.8"], "8.8.8.8", False, id="own block"),
    pytest.param([], ["8.8.8.8"], "::ffff:8.8.8.8", False, id="own block, IPv4 inside"),
    pytest.param([], ["64:ff9b::/96"], "64:ff9b::808:808", False, id="the embedding blocked"),
    pytest.param([], ["::/0"], "64:ff9b::808:808", False, id="all IPv6 blocked, translated too"),
    pytest.param([], ["::/2"], "::ffff:8.8.8.8", False, id="a wider block, mapped too"),
    pytest.param([], ["::/3"], "::ffff:8.8.8.8", True, id="the default's rest leaves mapped out"),
    pytest.param([], ["::/3"], "::1:0:0:0", False, id="the default's rest, beside mapped"),
    pytest.param([], ["::/3", "::/0"], "::ffff:8.8.8.8", False, id="both"),
    pytest.param(["::/3"], None, "::ffff:10.0.0.1", True, id="::/3 allowed, mapped too"),
    pytest.param(
        ["127.0.0.0/8"], ["64:ff9b::/96"], "64:ff9b::7f00:1", True, id="allow wins inside, too"
    ),
    pytest.param(["200::/7"], None, "200::1", True, id="an overlay network allowed"),
    pytest.param(["168.63.129.16"], None, "168.63.129.16", True, id="the host service allowed"),
    pytest.param([], ["8.8.8.8"], "127.0.0.1", True, id="own block instead of the default one"),
    pytest.param([], ["0.0.0.0/0"], "2606:4700::1", True, id="IPv4 block is not for IPv6"),
    pytest.param([], ["::/0"], "8.8.8.8", True, id="IPv6 block is not for IPv4"),
]


@pytest.mark.parametrize(("allow", "block", "text", "allowed"), GIVEN)
def test_given_policy(allow: list, block: list | None, text: str, allowed: bool) -> None:
    """A policy of one's own: `allow` wins, `block` replaces the default."""
    policy = AddressPolicy(allow) if block is None else AddressPolicy(allow=allow, block=block)
    assert policy.allows(ip_address(text)) is allowed


@given(st.ip_addresses())
def test_allow_all_allows_every_address(address: IPAddress) -> None:
    """Nothing is blocked by `allow_all`."""
    assert AddressPolicy.allow_all().allows(address)


@given(st.ip_addresses(v=4))
def test_embedded_ipv4_is_judged_as_itself(address: IPv4Address) -> None:
    """Mapped or translated, an IPv4 address is allowed exactly if it is when it comes bare."""
    policy = AddressPolicy()
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        embedded = IPv6Address(int(IPv6Address(prefix)) + int(address))
        assert policy.allows(embedded) is policy.allows(address)


BAD_NETWORKS = [
    # networks, error
    pytest.param("10.0.0.0/8", TypeError, id="one string instead of a sequence"),
    pytest.param("", TypeError, id="an empty string"),
    pytest.param(None, TypeError, id="None"),
    pytest.param(["10.0.0.1/8"], ValueError, id="host bits set"),
    pytest.param(["10.0.0.0/33"], ValueError, id="prefix too long"),
    pytest.param(["example.org"], ValueError, id="a name"),
    pytest.param(["010.0.0.0/8"], ValueError, id="leading zero"),
]


@pytest.mark.parametrize("argument", ["allow", "block"])
@pytest.mark.parametrize(("networks", "error"), BAD_NETWORKS)
def test_what_is_no_sequence_of_networks_is_refused(
    argument: str, networks: Any, error: type[Exception]
) -> None:
    """A mistyped policy fails when it is made, not when it should have blocked."""
    with pytest.raises(error):
        AddressPolicy(**{argument: networks})


def test_policies_of_the_same_networks_are_equal() -> None:
    """However its networks were given, a policy is a value."""
    policy = AddressPolicy(allow=["10.0.0.0/8"])
    assert policy == AddressPolicy(allow=(ip_network("10.0.0.0/8"),))
    assert policy != AddressPolicy()
    assert hash(policy) == hash(AddressPolicy(allow=iter(["10.0.0.0/8"])))


A, B, C = (IPv4Address(f"192.0.2.{n}") for n in (1, 2, 3))
X, Y, Z = (IPv6Address(f"2001:db8::{n}") for n in (1, 2, 3))
INTERLEAVED = [
    # addresses, order
    pytest.param([], (), id="none"),
    pytest.param([A], (A,), id="one"),
    pytest.param([B, A, C], (B, A, C), id="IPv4 alone, in the order they came"),
    pytest.param([Y, X], (Y, X), id="IPv6 alone, in the order they came"),
    pytest.param([A, X], (X, A), id="IPv6 first"),
    pytest.param([A, B, X, Y], (X, A, Y, B), id="in turn"),
    pytest.param([A, B, C, X], (X, A, B, C), id="more IPv4"),
    pytest.param([A, X, Y, Z], (X, A, Y, Z), id="more IPv6"),
    pytest.param([A, X, A, X, B], (X, A, B), id="repeats left out"),
]


@pytest.mark.parametrize(("addresses", "order"), INTERLEAVED)
def test_interleaved(addresses: list[IPAddress], order: tuple[IPAddress, ...]) -> None:
    """IPv6 and IPv4 in turn, IPv6 first, each in the order they came (RFC 8305, 4)."""
    assert interleaved(addresses) == order


@given(st.lists(st.ip_addresses(), max_size=12))
def test_interleaving_loses_and_doubles_nothing(addresses: list[IPAddress]) -> None:
    """Every address is there once, and those of a family keep their order."""
    order = interleaved(iter(addresses))
    assert sorted(order, key=str) == sorted(set(addresses), key=str)
    for version in (4, 6):
        came = [each for each in dict.fromkeys(addresses) if each.version == version]
        assert [each for each in order if each.version == version] == came
