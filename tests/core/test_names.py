"""The server name grammar: the appendix "Server Name" of the specification, and stricter."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matrix_resolve.core.names import ServerName, is_hostname, parse_ip_literal
from matrix_resolve.errors import InvalidServerNameError

LABEL_63 = "a" * 63
NAME_253 = ".".join([LABEL_63, LABEL_63, LABEL_63, "b" * 61])

VALID = [
    # text, hostname, port
    pytest.param("example.org", "example.org", None, id="DNS name"),
    pytest.param("example.org:8448", "example.org", 8448, id="DNS name with port"),
    pytest.param("localhost", "localhost", None, id="one label"),
    pytest.param("a", "a", None, id="one letter"),
    pytest.param("Example.ORG", "Example.ORG", None, id="upper case is kept"),
    pytest.param("xn--mnchen-3ya.example", "xn--mnchen-3ya.example", None, id="punycode"),
    pytest.param("123.example.org", "123.example.org", None, id="a number as first label"),
    pytest.param("example.org.1a", "example.org.1a", None, id="last label begins with a digit"),
    pytest.param("example.0xg", "example.0xg", None, id="last label is no hexadecimal number"),
    pytest.param("example.-1", "example.-1", None, id="last label is a hyphen and a digit"),
    pytest.param("-", "-", None, id="a hyphen alone"),
    pytest.param("-a-.b--c", "-a-.b--c", None, id="hyphens anywhere"),
    pytest.param(LABEL_63, LABEL_63, None, id="label of 63 characters"),
    pytest.param(NAME_253, NAME_253, None, id="hostname of 253 characters"),
    pytest.param(f"{NAME_253}:65535", NAME_253, 65535, id="253 characters and a port"),
    pytest.param("example.org:1", "example.org", 1, id="port 1"),
    pytest.param("example.org:65535", "example.org", 65535, id="port 65535"),
    pytest.param("example.org:00443", "example.org", 443, id="port with leading zeros"),
]
VALID_IP = [
    # text, hostname, port, canonical host
    pytest.param("192.0.2.1", "192.0.2.1", None, "192.0.2.1", id="IPv4"),
    pytest.param("192.0.2.1:8448", "192.0.2.1", 8448, "192.0.2.1", id="IPv4 with port"),
    pytest.param("0.0.0.0", "0.0.0.0", None, "0.0.0.0", id="IPv4 of zeros"),
    pytest.param("255.255.255.255", "255.255.255.255", None, "255.255.255.255", id="highest IPv4"),
    pytest.param("[2001:db8::1]", "2001:db8::1", None, "2001:db8::1", id="IPv6"),
    pytest.param("[2001:db8::1]:80", "2001:db8::1", 80, "2001:db8::1", id="IPv6 with port"),
    pytest.param(
        "[2001:0DB8:0:0:0:0:0:00AB]",
        "2001:0DB8:0:0:0:0:0:00AB",
        None,
        "2001:db8::ab",
        id="IPv6 in another spelling than the canonical",
    ),
    pytest.param("[::]", "::", None, "::", id="IPv6 of zeros"),
    pytest.param(
        "[64:ff9b::192.0.2.1]",
        "64:ff9b::192.0.2.1",
        None,
        "64:ff9b::c000:201",
        id="IPv6 with dotted end",
    ),
]

NOT_A_STRING = "not a string"
NON_ASCII = "not ASCII"
PORT = "port must be a number from 1 to 65535"
BRACKETS = "brackets belong around"
NO_IPV6 = "brackets hold no IPv6"
EMPTY_LABEL = "empty label"
CHARACTERS = "characters other than"
NUMBER = "last label is a number"

INVALID = [
    # text, what the reason says
    pytest.param("", "it is empty", id="empty"),
    pytest.param(None, NOT_A_STRING, id="None"),
    pytest.param(b"example.org", NOT_A_STRING, id="bytes"),
    pytest.param(8448, NOT_A_STRING, id="number"),
    pytest.param(["example.org"], NOT_A_STRING, id="list"),
    pytest.param(":8448", "no hostname", id="port alone"),
    pytest.param("a" * 64, "more than 63", id="label of 64 characters"),
    pytest.param(f"example.{'a' * 64}.org", "more than 63", id="inner label of 64 characters"),
    pytest.param(f"{NAME_253}c", "more than 253", id="hostname of 254 characters"),
    pytest.param(f"{NAME_253}c:1", "more than 253", id="254 characters and a port"),
    pytest.param(".", EMPTY_LABEL, id="dot alone"),
    pytest.param("a..b", EMPTY_LABEL, id="empty label"),
    pytest.param(".example.org", EMPTY_LABEL, id="leading dot"),
    pytest.param("example.org.", EMPTY_LABEL, id="trailing dot"),
    pytest.param("example.org.:8448", EMPTY_LABEL, id="trailing dot and a port"),
    pytest.param("192.0.2.1.", EMPTY_LABEL, id="IPv4 with trailing dot"),
    pytest.param("_matrix.example.org", CHARACTERS, id="underscore"),
    pytest.param("exam ple.org", CHARACTERS, id="space"),
    pytest.param(" example.org", CHARACTERS, id="leading space"),
    pytest.param("example.org\n", CHARACTERS, id="newline at the end"),
    pytest.param("example.org\x00", CHARACTERS, id="NUL at the end"),
    pytest.param("exam\x00ple.org", CHARACTERS, id="NUL inside"),
    pytest.param("user@example.org", CHARACTERS, id="userinfo"),
    pytest.param("example.org/path", CHARACTERS, id="path"),
    pytest.param("example.org?query", CHARACTERS, id="query"),
    pytest.param("exam%70le.org", CHARACTERS, id="percent encoding"),
    pytest.param("*.example.org", CHARACTERS, id="wildcard"),
    pytest.param("https://example.org", "it is a URL", id="URL"),
    pytest.param("münchen.example", NON_ASCII, id="not ASCII"),
    pytest.param("example。org", NON_ASCII, id="ideographic full stop"),
    pytest.param("example.org:８４４８", NON_ASCII, id="port in full-width digits"),
    pytest.param("１.example.org", NON_ASCII, id="label of full-width digits"),
    pytest.param("١.example.org", NON_ASCII, id="label of Arabic digits"),
    pytest.param("\u212aelvin.org", NON_ASCII, id="Kelvin sign"),
    pytest.param("\ud800.org", NON_ASCII, id="lone surrogate"),
    pytest.param("example.org:", PORT, id="empty port"),
    pytest.param("example.org:0", PORT, id="port 0"),
    pytest.param("example.org:00000", PORT, id="port 00000"),
    pytest.param("example.org:65536", PORT, id="port 65536"),
    pytest.param("example.org:008448", PORT, id="port of six digits"),
    pytest.param("example.org:+8448", PORT, id="port with plus sign"),
    pytest.param("example.org:-1", PORT, id="port with minus sign"),
    pytest.param("example.org: 8448", PORT, id="space before the port"),
    pytest.param("example.org:8448 ", PORT, id="space after the port"),
    pytest.param("example.org:8448\n", PORT, id="newline after the port"),
    pytest.param("example.org:8_448", PORT, id="underscore in the port"),
    pytest.param("example.org:0x50", PORT, id="hexadecimal port"),
    pytest.param("example.org:http", PORT, id="port by name"),
    pytest.param("example.org:80:80", PORT, id="two ports"),
    pytest.param("2001:db8::1", "belongs in brackets", id="IPv6 without brackets"),
    pytest.param("::1", "belongs in brackets", id="IPv6 loopback without brackets"),
    pytest.param("192.0.2.1:0", PORT, id="IPv4 and port 0"),
    pytest.param("[::1]:0", PORT, id="IPv6 and port 0"),
    pytest.param("[::1]:", PORT, id="IPv6 and empty port"),
    pytest.param("[::1", BRACKETS, id="bracket not closed"),
    pytest.param("::1]", PORT, id="IPv6 whose bracket is not opened"),
    pytest.param("example.org]", BRACKETS, id="bracket not opened"),
    pytest.param("[::1]8448", BRACKETS, id="port without colon after the bracket"),
    pytest.param("[::1].org", BRACKETS, id="text after the bracket"),
    pytest.param("a[::1]", BRACKETS, id="text before the bracket"),
    pytest.param("[[::1]]", BRACKETS, id="brackets in brackets"),
    pytest.param("[::1]\n", BRACKETS, id="newline after the bracket"),
    pytest.param("[]", NO_IPV6, id="empty brackets"),
    pytest.param("[example.org]", NO_IPV6, id="DNS name in brackets"),
    pytest.param("[192.0.2.1]", NO_IPV6, id="IPv4 in brackets"),
    pytest.param("[v1.a]", NO_IPV6, id="IPvFuture"),
    pytest.param("[fe80::1%eth0]", NO_IPV6, id="zone"),
    pytest.param("[fe80::1%25eth0]", NO_IPV6, id="encoded zone"),
    pytest.param("[::1/128]", NO_IPV6, id="IPv6 network"),
    pytest.param("[:::]", NO_IPV6, id="three colons"),
    pytest.param("[1:2:3:4:5:6:7:8:9]", NO_IPV6, id="nine groups"),
    pytest.param("[1::2::3]", NO_IPV6, id="two gaps"),
    pytest.param("[::12345]", NO_IPV6, id="group of five digits"),
    pytest.param("[::192.0.2.01]", NO_IPV6, id="leading zero in the dotted end"),
    pytest.param("[ ::1]", NO_IPV6, id="space in brackets"),
    pytest.param("256.1.1.1", NUMBER, id="IPv4 above 255"),
    pytest.param("1.2.3.04", NUMBER, id="IPv4 with a leading zero"),
    pytest.param("010.0.0.1", NUMBER, id="IPv4 in octal"),
    pytest.param("1.2.3", NUMBER, id="IPv4 of three parts"),
    pytest.param("1.2.3.4.5", NUMBER, id="IPv4 of five parts"),
    pytest.param("2130706433", NUMBER, id="IPv4 as one number"),
    pytest.param("0x7f.1", NUMBER, id="IPv4 in hexadecimal and decimal"),
    pytest.param("0x7f000001", NUMBER, id="IPv4 as one hexadecimal number"),
    pytest.param("0X7F.0.0.0X1", NUMBER, id="IPv4 in upper-case hexadecimal"),
    pytest.param("foo.0x", NUMBER, id="last label 0x"),
    pytest.param("foo.123", NUMBER, id="last label a number"),
    pytest.param("foo.09", NUMBER, id="last label a number that is not octal"),
    pytest.param("1", NUMBER, id="one digit"),
]

NEAR_NAMES = st.text("aZ09.-:[]xX%_ \n\x00é１", max_size=20)
LABELS = st.from_regex(r"[0-9A-Za-z-]{1,20}", fullmatch=True)
LAST_LABELS = st.from_regex(r"[A-Za-z-][0-9A-Za-z-]{0,19}", fullmatch=True)
HOSTNAMES = st.builds(
    lambda labels, last: ".".join([*labels, last]), st.lists(LABELS, max_size=4), LAST_LABELS
)
PORTS = st.none() | st.integers(1, 65535)


@pytest.mark.parametrize(("text", "hostname", "port"), VALID)
def test_dns_name_is_read_into_hostname_and_port(
    text: str, hostname: str, port: int | None
) -> None:
    """A DNS name keeps its spelling and is no IP literal."""
    name = ServerName.parse(text)
    assert (name.hostname, name.port) == (hostname, port)
    assert (name.is_ip_literal, name.ip_address) == (False, None)
    assert name.canonical_host == hostname
    assert str(name) == text


@pytest.mark.parametrize(("text", "hostname", "port", "canonical"), VALID_IP)
def test_ip_literal_is_read_into_address_and_port(
    text: str, hostname: str, port: int | None, canonical: str
) -> None:
    """An IP literal keeps its spelling, without brackets, and knows its address."""
    name = ServerName.parse(text)
    assert (name.hostname, name.port) == (hostname, port)
    assert (name.is_ip_literal, name.ip_address) == (True, ip_address(hostname))
    assert name.canonical_host == canonical
    assert str(name) == text


@pytest.mark.parametrize(("text", "reason"), INVALID)
def test_what_is_no_server_name_is_refused_with_the_reason(text: object, reason: str) -> None:
    """The error carries what was given and says what is wrong with it."""
    with pytest.raises(InvalidServerNameError) as caught:
        ServerName.parse(text)  # type: ignore[arg-type]
    assert caught.value.server_name is text
    assert reason in caught.value.reason


@given(st.text() | NEAR_NAMES | HOSTNAMES | st.binary() | st.none() | st.integers())
@example("example.org:8448")
@example("\udfff")
@example("0" * 5000)
@example("[" + ":" * 45 + "]")
def test_parse_raises_nothing_but_its_error_and_keeps_the_text(text: object) -> None:
    """Whatever it is given, `parse` refuses it or gives the same text back."""
    try:
        name = ServerName.parse(text)  # type: ignore[arg-type]
    except InvalidServerNameError:
        return
    assert str(name) == text
    assert ServerName.parse(str(name)) == name
    assert name.port is None or 1 <= name.port <= 65535
    assert name.is_ip_literal != is_hostname(name.hostname)


@given(HOSTNAMES, PORTS)
def test_every_name_of_the_grammar_is_accepted(hostname: str, port: int | None) -> None:
    """Labels of letters, digits and hyphens, the last of them no number, make a server name."""
    text = hostname if port is None else f"{hostname}:{port}"
    name = ServerName.parse(text)
    assert (name.hostname, name.port, name.is_ip_literal) == (hostname, port, False)


@given(st.ip_addresses(), PORTS)
def test_every_address_is_accepted(address: IPv4Address | IPv6Address, port: int | None) -> None:
    """Every IPv4 address and every IPv6 address in brackets is a server name."""
    host = str(address) if address.version == 4 else f"[{address}]"
    name = ServerName.parse(host if port is None else f"{host}:{port}")
    assert (name.ip_address, name.port) == (address, port)
    assert name.canonical_host == str(address)


@given(st.text(max_size=10) | NEAR_NAMES | HOSTNAMES)
def test_host_names_are_the_server_names_without_port_and_literal(text: str) -> None:
    """`is_hostname` and `ServerName.parse` agree on what a DNS name is."""
    try:
        name = ServerName.parse(text)
        parsed = name.port is None and not name.is_ip_literal
    except InvalidServerNameError:
        parsed = False
    assert is_hostname(text) == parsed


def test_names_are_equal_when_their_text_is() -> None:
    """Equality and hash go by the text as it was parsed, letter case included."""
    name = ServerName.parse("example.org:8448")
    assert name == ServerName.parse("example.org:8448")
    assert hash(name) == hash(ServerName.parse("example.org:8448"))
    assert name != ServerName.parse("Example.org:8448")
    assert name != ServerName.parse("example.org:08448")
    assert name != "example.org:8448"


LITERALS = [
    # text, address
    pytest.param("192.0.2.1", IPv4Address("192.0.2.1"), id="IPv4"),
    pytest.param("0.0.0.0", IPv4Address("0.0.0.0"), id="IPv4 of zeros"),
    pytest.param("2001:DB8::1", IPv6Address("2001:db8::1"), id="IPv6"),
    pytest.param("::", IPv6Address("::"), id="IPv6 of zeros"),
    pytest.param("[2001:db8::1]", None, id="IPv6 in brackets"),
    pytest.param("fe80::1%eth0", None, id="zone"),
    pytest.param("192.0.2.01", None, id="leading zero"),
    pytest.param("2130706433", None, id="IPv4 as one number"),
    pytest.param("example.org", None, id="DNS name"),
    pytest.param("", None, id="empty"),
]


@pytest.mark.parametrize(("text", "address"), LITERALS)
def test_ip_literal_without_brackets(text: str, address: IPv4Address | IPv6Address | None) -> None:
    """Where no brackets are used, an IP literal is read by the same strict rules."""
    assert parse_ip_literal(text) == address


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("@alice:a.example", "a.example"),
        ("@alice:a.example:8448", "a.example:8448"),
        ("@:a.example", "a.example"),
        ("#a room, of any name:[2001:db8::1]:443", "[2001:db8::1]:443"),
        ("!opaque:192.0.2.1", "192.0.2.1"),
        ("$event:A.example", "A.example"),
    ],
)
def test_the_server_name_in_an_identifier(identifier: str, name: str) -> None:
    """It is what follows the first colon."""
    assert str(ServerName.of(identifier)) == name
    assert ServerName.of(identifier) == ServerName.parse(name)


@pytest.mark.parametrize(
    ("identifier", "reason", "suggestion"),
    [
        ("a.example", "no identifier of a user", None),
        ("", "no identifier of a user", None),
        ("+group:a.example", "no identifier of a user", None),
        (" @alice:a.example", "no identifier of a user", None),
        (None, "it is not a string", None),
        (b"@alice:a.example", "it is not a string", None),
        ("@alice", "holds no server name", None),
        ("!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM", "holds no server name", None),
        ("$acR1l0raoZnm60CBwAVgqbZqoO/mYU81xysh1u7XcJk", "holds no server name", None),
        ("@alice:", "it is empty", None),
        ("@alice:a..example", "empty label", None),
        ("@alice:b:a.example", "the port must be", None),
        ("@alice:a.example.", "empty label", "a.example"),
    ],
)
def test_an_identifier_without_server_name(
    identifier: str, reason: str, suggestion: str | None
) -> None:
    """Anything else is refused, and what is wrong with it is told."""
    with pytest.raises(InvalidServerNameError, match=reason) as caught:
        ServerName.of(identifier)
    assert caught.value.suggestion == suggestion
