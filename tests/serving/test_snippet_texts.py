"""The texts of snippets; that web servers understand them is in tests/integration."""

import json
import re
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix_resolve.serving import (
    Program,
    WellKnownDocument,
    client_document_snippet,
    client_well_known_document,
    plan_setup,
    proxy_snippet,
    server_document_snippet,
    site_snippet,
    support_well_known_document,
    well_known_document,
)
from matrix_resolve.serving.snippets.lines import AUTHORITIES, body_text

WEB_SERVERS = [program for program in Program if program is not Program.SYNAPSE]
HOMESERVER = "http://127.0.0.1:8008"
SERVER, CLIENT = "/.well-known/matrix/server", "/.well-known/matrix/client"


@pytest.mark.parametrize("program", Program)
def test_every_program_has_a_snippet(program: Program) -> None:
    """It is text of its own, with a file that it belongs into, and one newline at its end."""
    snippet = site_snippet(program, plan_setup("example.org", homeserver=HOMESERVER))
    assert snippet.program is program
    assert snippet.path.startswith("/etc/")
    assert re.search(r"[^\n]\n\Z", snippet.text)
    assert program.label.lower().startswith(program.value)


@pytest.mark.parametrize("program", WEB_SERVERS)
def test_all_that_is_served_is_in_the_snippet(program: Program) -> None:
    """Paths, bodies and headers of each document, the homeserver, and each name."""
    setup = plan_setup("example.org", "hs.example.net:8448", homeserver=HOMESERVER)
    snippet = site_snippet(program, setup)
    for document in setup.documents:
        assert document.path in snippet.text
        for name, value in document.headers:
            assert value in snippet.text
            assert name in snippet.text or name == "Content-Type"
        held = snippet.text if program is not Program.APACHE else str(snippet.files)
        assert document.body.decode() in held
    for wanted in ("example.org", "hs.example.net", "8448", "127.0.0.1:8008", "/_matrix/"):
        assert wanted in snippet.text


@pytest.mark.parametrize("program", WEB_SERVERS)
def test_without_a_homeserver_nothing_is_handed_on(program: Program) -> None:
    """Documents alone have no part that leads anywhere."""
    text = site_snippet(program, plan_setup("example.org", "hs.example.net:8448")).text
    assert "/_matrix/" not in text
    assert "8448 " not in text


@pytest.mark.parametrize("program", WEB_SERVERS)
def test_single_snippets_are_parts_of_the_whole(program: Program) -> None:
    """What is advised for one document, or for the way on, is what the whole site has."""
    whole = site_snippet(
        program, plan_setup("example.org", "hs.example.net:443", homeserver=HOMESERVER)
    ).text
    lines = {line.strip() for line in whole.splitlines()}
    for part in (
        server_document_snippet(program, "example.org", "hs.example.net:443"),
        client_document_snippet(program, "example.org", "https://hs.example.net"),
        proxy_snippet(program, "hs.example.net:443", HOMESERVER),
    ):
        own = [line.strip() for line in part.splitlines() if not line.strip().startswith("#")]
        assert own
        assert set(filter(None, own)) <= lines


def test_files_are_named_in_comments_too() -> None:
    """Apache httpd serves a file, so a snippet alone says what stands in it."""
    text = server_document_snippet(Program.APACHE, "example.org")
    assert text.startswith(
        '# /var/www/matrix/example.org/server.json holds: {"m.server": "example.org:443"}\n'
    )


@pytest.mark.parametrize(
    ("delegate_to", "setting"),
    [
        (None, "serve_server_wellknown: true"),
        ("Example.org:443", "serve_server_wellknown: true"),
        ("hs.example.net:443", "Synapse can publish example.org:443 and nothing else"),
        ("example.org", "Synapse can publish example.org:443 and nothing else"),
    ],
)
def test_synapse_publishes_port_443_of_its_name(delegate_to: str | None, setting: str) -> None:
    """Its setting knows one delegation only; for another it must stay off."""
    setup = plan_setup("example.org", delegate_to, homeserver=HOMESERVER)
    for text in (
        site_snippet(Program.SYNAPSE, setup).text,
        server_document_snippet(Program.SYNAPSE, "example.org", delegate_to),
    ):
        assert setting in text
        assert ("serve_server_wellknown: true" in text) == setting.startswith("serve")


def test_synapse_listens_with_the_client_resource() -> None:
    """Without it nothing under /.well-known is served."""
    setup = plan_setup("example.org", homeserver="https://[::1]:8448")
    text = site_snippet(Program.SYNAPSE, setup).text
    assert "- names: [client, federation]\n" in text
    assert 'bind_addresses: ["::1"]\n' in text
    assert "tls: true\n" in text
    assert '"client" among' in site_snippet(Program.SYNAPSE, plan_setup("example.org")).text


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("http://localhost:8008", '["::1", "127.0.0.1"]'),
        ("http://synapse:8008", '["::", "0.0.0.0"]'),
        ("http://192.0.2.7:8008", '["192.0.2.7"]'),
    ],
)
def test_where_synapse_listens(url: str, addresses: str) -> None:
    """At addresses, by whatever name it is reached."""
    assert f"bind_addresses: {addresses}\n" in proxy_snippet(Program.SYNAPSE, "a.example", url)


def test_what_else_synapse_publishes() -> None:
    """More fields for clients have a setting, the support document has none."""
    text = client_document_snippet(Program.SYNAPSE, "a.example", "https://b.example", {"a.b": [1]})
    assert text == (
        'public_baseurl: "https://b.example"\nextra_well_known_client_content: {"a.b": [1]}\n'
    )
    support = support_well_known_document((), "https://example.org/support")
    text = site_snippet(Program.SYNAPSE, plan_setup("example.org", support=support)).text
    assert "/.well-known/matrix/support: Synapse has no setting for it" in text


@pytest.mark.parametrize("program", WEB_SERVERS)
def test_a_homeserver_that_speaks_tls_is_verified(program: Program) -> None:
    """Each web server but Caddy, which does by itself, is told to."""
    text = proxy_snippet(program, "a.example", "https://hs.internal:8443")
    words = {
        Program.NGINX: "proxy_ssl_verify on;",
        Program.CADDY: "reverse_proxy https://hs.internal:8443",
        Program.APACHE: "SSLProxyVerify require",
        Program.HAPROXY: f"ssl verify required ca-file {AUTHORITIES} sni str(hs.internal)",
    }
    assert words[program] in text
    plain = proxy_snippet(program, "a.example", HOMESERVER)
    assert "erify" not in plain
    assert "sni str" not in proxy_snippet(program, "a.example", "https://127.0.0.1:8443")


JSON_TEXT = st.text(max_size=10)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # A lone surrogate is no UTF-8, so it is in no document.
    | JSON_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(JSON_TEXT, inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(JSON_TEXT, JSON_VALUES, max_size=3))
def test_bodies_say_the_same_in_plain_characters(extra: dict[str, Any]) -> None:
    """Nothing but JSON's own signs, plain characters and escapes is left of any document."""
    extra.pop("m.homeserver", None)
    document = client_well_known_document("https://example.org", extra)
    text = body_text(document)
    assert json.loads(text) == json.loads(document.body)
    assert re.fullmatch(r'(?:[A-Za-z0-9 @:/?=&+,._~\[\]{}"-]|\\u[0-9a-f]{4})*', text)


def test_plain_documents_are_the_same_text() -> None:
    """A document that needs no escape is served byte for byte."""
    for document in (
        well_known_document("[2001:db8::1]:8448"),
        client_well_known_document("https://example.org:8443/chat/"),
    ):
        assert body_text(document).encode() == document.body


def document(**changes: Any) -> WellKnownDocument:
    """A document that is not made by this package."""
    return attrs.evolve(well_known_document("example.org"), **changes)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (document(path="/a b"), "the path"),
        (document(path='/a"'), "the path"),
        (document(path="/a\n"), "the path"),
        (document(headers=(("Content-Type", 'a"b'),)), "the header"),
        (document(headers=(("Content-Type", "$a"),)), "the header"),
        (document(headers=(("Content-Type", "a\n"),)), "the header"),
        (document(headers=(("X Y", "a"),)), "the header"),
        (document(headers=(("Cache-Control", "no-store"),)), "no Content-Type"),
        (document(body=b'{"a":"%s"}' % (b"x" * 4000)), "too long"),
    ],
)
@pytest.mark.parametrize("program", WEB_SERVERS)
def test_what_no_configuration_can_hold_is_refused(
    program: Program, made: WellKnownDocument, reason: str
) -> None:
    """Documents of others are written only if nothing in them can be misread."""
    setup = attrs.evolve(plan_setup("example.org"), documents=(made,))
    if program is Program.APACHE and reason == "too long":
        assert site_snippet(program, setup).files[0][1] == made.body  # a file of any length
        return
    with pytest.raises(ValueError, match=reason):
        site_snippet(program, setup)


def test_a_long_name_gets_room_in_nginx() -> None:
    """A name that does not fit nginx's table of names by default brings the directive."""
    for length, has in ((46, False), (47, True)):
        name = "a." + "b" * (length - 10) + ".example"
        assert len(name) == length
        text = site_snippet(Program.NGINX, plan_setup(name)).text
        assert ("server_names_hash_bucket_size" in text) == has
