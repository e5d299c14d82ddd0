"""A real nginx on loopback, without privileges, with the virtual hosts that a test describes."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme
from programs import Server, not_installed

WELL_KNOWN = "/.well-known/matrix/server"

# One process in the foreground, so that it can't leave workers behind nor lose its log.
_CONFIG = """
daemon off;
master_process off;
pid pid;
error_log stderr notice;
events {{ worker_connections 512; }}
http {{
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    log_format seen escape=json '{{{seen}}}';
    access_log seen seen;
    types {{ }}
    default_type application/json;
    absolute_redirect off;
    # A connection that names none of the hosts is refused.
    server {{
        listen {address} ssl{http2_listener} default_server;
        {http2}
        ssl_reject_handshake on;
    }}
{hosts}
}}
"""
_HOST = """
    server {{
        listen {address} ssl{http2_listener};
        {http2}
        server_name {name};
        ssl_certificate {certificate};
        ssl_certificate_key {certificate};
        root {root};
        {directives}
    }}
"""
# What is noted of each request: the key, and nginx's variable.
_SEEN = {
    "host": "http_host",
    "sni": "ssl_server_name",
    "alpn": "ssl_alpn_protocol",
    "protocol": "server_protocol",
    "uri": "request_uri",
    "accept_encoding": "http_accept_encoding",
    "status": "status",
    "encoding": "sent_http_content_encoding",
    "connection": "connection",
}


class Nginx(Server):
    """An nginx with HTTP/2 where it has that, and one virtual host for each `serve()`."""

    def __init__(self, executable: str, directory: Path) -> None:
        super().__init__(directory)
        self._executable = executable
        self._authority = trustme.CA()
        self.ca_pem = self._authority.cert_pem.bytes()
        self._hosts: dict[str, str] = {}
        told = subprocess.run([executable, "-V"], capture_output=True, text=True, check=True).stderr
        version = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", told)
        assert version is not None, told
        self._version = tuple(map(int, version.groups()))
        self.has_http2 = "--with-http_v2_module" in told

    def serve(
        self,
        name: str,
        directives: str = "",
        *,
        document: Any = None,
        certificate_for: str | None = None,
    ) -> None:
        """Have a host, before nginx is started, with these directives and maybe a document.

        Its certificate is for its name, if not for another one.
        """
        self._hosts[name] = directives
        certificate = self._authority.issue_cert(certificate_for or name)
        certificate.private_key_and_cert_chain_pem.write_to_path(self._certificate(name))
        self._root(name).mkdir()
        if document is not None:
            self.publish(name, document)

    def publish(self, name: str, document: Any, path: str = WELL_KNOWN) -> None:
        """Put a file where a host has it: bytes as they are, all else as JSON."""
        file = self._root(name) / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())

    def requests(self) -> list[dict[str, str]]:
        """Stop, and return what was noted of each request that it has answered."""
        self.stop()
        return [json.loads(line) for line in (self.directory / "seen").read_text().splitlines()]

    def command(self) -> Sequence[str]:
        (self.directory / "pid").unlink(missing_ok=True)
        http2_directive = self._version >= (1, 25, 1)
        settings = {
            "address": "{}:{}".format(*self.address),
            "seen": ",".join(f'"{key}":"${variable}"' for key, variable in _SEEN.items()),
            "http2_listener": " http2" if self.has_http2 and not http2_directive else "",
            "http2": "http2 on;" if self.has_http2 and http2_directive else "",
        }
        hosts = [
            _HOST.format(
                **settings,
                name=name,
                certificate=self._certificate(name).name,
                root=self._root(name).name,
                directives=directives,
            )
            for name, directives in self._hosts.items()
        ]
        (self.directory / "nginx.conf").write_text(_CONFIG.format(**settings, hosts="".join(hosts)))
        # All other paths are relative to this one.
        prefix = f"{self.directory}/"
        return [self._executable, "-e", "stderr", "-p", prefix, "-c", "nginx.conf"]

    def is_ready(self) -> bool:
        pid = self.directory / "pid"  # written when nginx has the port
        return pid.exists() and pid.read_text() != ""

    def _certificate(self, name: str) -> Path:
        return self.directory / f"{name}.pem"

    def _root(self, name: str) -> Path:
        return self.directory / name


@contextmanager
def installed_nginx(directory: Path) -> Iterator[Nginx]:
    """Give an nginx to be started; without one installed the test is skipped, in CI it fails."""
    # Debian puts it where only root looks.
    executable = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if executable is None:
        not_installed("nginx")
    nginx = Nginx(executable, directory)
    try:
        yield nginx
    finally:
        nginx.stop()
