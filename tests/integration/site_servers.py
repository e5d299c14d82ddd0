"""Web servers of others, set up by nothing but the snippets, on loopback and without privileges.

`APACHE_MODULES` names the folder of Apache's modules, where that is not Debian's.
"""

import os
import re
import shutil
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import create_connection, create_server

import trustme
from programs import IP, Server, not_installed

from matrix_resolve.serving import Program, Setup, site_snippet

EXECUTABLES = {
    Program.NGINX: "nginx",
    Program.APACHE: "apache2",
    Program.HAPROXY: "haproxy",
    Program.CADDY: "caddy",
}

_NGINX = """
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
    access_log off;
{snippet}
}}
"""
_APACHE = """
ServerRoot {directory}
ServerName localhost
PidFile {directory}/pid
ErrorLog /dev/stderr
DefaultRuntimeDir {directory}
Mutex file:{directory}
{modules}
TypesConfig /dev/null
Listen {ip}:{port}
# As Debian has it: nothing is to be seen unless it is allowed.
<Directory />
    AllowOverride None
    Require all denied
</Directory>
{snippet}
"""
_APACHE_MODULES = (
    *("mpm_event", "authz_core", "alias", "headers", "mime"),
    *("ssl", "socache_shmcb", "proxy", "proxy_http"),
)
_HAPROXY = """
global
    log stderr format raw local0 notice
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s
{snippet}
"""
_CADDY = """
{{
    admin off
    auto_https disable_redirects
    skip_install_trust
    https_port {port}
}}
{snippet}
"""


class SiteServer(Server):
    """A web server that does what the snippet for `setup` says; its ports are mapped to free ones.

    On the way to a homeserver with TLS the authority `homeserver_ca` is trusted, in the place of
    those that the machine trusts. `at` tells the socket address that stands for each port.
    """

    def __init__(
        self,
        program: Program,
        executable: str,
        directory: Path,
        setup: Setup,
        homeserver_ca: bytes | None = None,
    ) -> None:
        super().__init__(directory)
        self._program = program
        self._executable = executable
        self._snippet = site_snippet(program, setup)
        self.setup = setup
        authority = trustme.CA()
        self.ca_pem = authority.cert_pem.bytes()
        # What is trusted on the way to the homeserver: what the machine trusts, for one's own.
        self._trusted = directory / "trusted" / "authority.pem"
        self._trusted.parent.mkdir()
        self._trusted.write_bytes(homeserver_ca or self.ca_pem)
        for host in setup.hosts:
            own = directory / "live" / host.bare_host
            own.mkdir(parents=True)
            certificate = authority.issue_cert(host.bare_host)
            certificate.private_key_pem.write_to_path(own / "privkey.pem")
            for pem in certificate.cert_chain_pems:
                pem.write_to_path(own / "fullchain.pem", append=True)
            (directory / "certs").mkdir(exist_ok=True)
            certificate.private_key_and_cert_chain_pem.write_to_path(
                directory / "certs" / f"{host.bare_host}.pem"
            )
        for path, content in self._snippet.files:
            file = Path(self._here(path))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        self.at: dict[int, tuple[str, int]] = {}

    def _here(self, text: str) -> str:
        """Return a text of which the customary folders are the test's own."""
        for folder, own in {
            "/etc/letsencrypt/live/": "live",
            "/etc/haproxy/certs/": "certs",
            "/var/www/matrix/": "www",
        }.items():
            text = text.replace(folder, f"{self.directory}/{own}/")
        return text.replace("/etc/ssl/certs/ca-certificates.crt", str(self._trusted))

    def command(self) -> Sequence[str]:
        ports = {port for host in self.setup.hosts for port in host.ports}
        self.at = {port: self.address if port == 443 else (IP, free_port()) for port in ports}
        config = self.directory / "config"
        config.write_text(self._config(self._here(self._snippet.text)))
        environment = {
            "SSL_CERT_FILE": self._trusted,
            "SSL_CERT_DIR": self._trusted.parent,
            "XDG_DATA_HOME": self.directory,
            "XDG_CONFIG_HOME": self.directory,
        }
        match self._program:
            case Program.NGINX:
                arguments = ["-e", "stderr", "-p", f"{self.directory}/", "-c", config]
            case Program.APACHE:
                arguments = ["-D", "FOREGROUND", "-f", config]
            case Program.HAPROXY:
                arguments = ["-db", "-f", config]
            case _:
                arguments = ["run", "--adapter", "caddyfile", "--config", config]
        settings = [f"{name}={value}" for name, value in environment.items()]
        return ["env", *settings, self._executable, *map(str, arguments)]

    def _config(self, snippet: str) -> str:
        """Return the whole configuration: ports and certificates are all that is changed."""
        settings = {"directory": self.directory, "ip": IP, "port": self.address[1]}
        match self._program:
            case Program.NGINX:
                snippet = re.sub(r" +listen \[::\].*\n", "", snippet)
                snippet = re.sub(
                    r"listen (\d+)", lambda found: f"listen {self._port(found)}", snippet
                )
                return _NGINX.format(**settings, snippet=snippet)
            case Program.APACHE:
                snippet = re.sub(r"\*:(\d+)", self._port, snippet)
                snippet = re.sub(
                    r"Listen (\d+)", lambda found: f"Listen {self._port(found)}", snippet
                )
                folder = os.environ.get("APACHE_MODULES", "/usr/lib/apache2/modules")
                modules = [
                    f"LoadModule {name}_module {folder}/mod_{name}.so" for name in _APACHE_MODULES
                ]
                return _APACHE.format(**settings, modules="\n".join(modules), snippet=snippet)
            case Program.HAPROXY:
                snippet = re.sub(
                    r"bind :::(\d+) v4v6", lambda found: f"bind {self._port(found)}", snippet
                )
                return _HAPROXY.format(**settings, snippet=snippet)
            case _:
                return _CADDY.format(**settings, snippet=self._caddy_sites(snippet))

    def _caddy_sites(self, snippet: str) -> str:
        """Return the sites with certificates of the test's own, not asked for by ACME."""
        hosts = iter(self.setup.hosts)

        def with_certificate(found: re.Match[str]) -> str:
            own = self.directory / "live" / next(hosts).bare_host
            line = re.sub(r":8448\b", f":{self.at.get(8448, (IP, 0))[1]}", found[0])
            return f"{line}\n\tbind {IP}\n\ttls {own}/fullchain.pem {own}/privkey.pem"

        return re.sub(r"^https://.*\{$", with_certificate, snippet, flags=re.MULTILINE)

    def _port(self, found: re.Match[str]) -> str:
        ip, port = self.at[int(found[1])]
        return f"{ip}:{port}"

    def is_ready(self) -> bool:
        """Return whether it shows a certificate of ours at each port."""
        context = ssl.create_default_context(cadata=self.ca_pem.decode())
        for host in self.setup.hosts:
            for port in host.ports:
                with suppress(OSError):
                    with create_connection(self.at[port], timeout=5) as sock:
                        context.wrap_socket(sock, server_hostname=host.bare_host).close()
                    continue
                return False
        return True


def free_port() -> int:
    """Return a port that nobody listens on."""
    with create_server((IP, 0)) as found:
        port: int = found.getsockname()[1]
        return port


@contextmanager
def running_site(
    program: Program, directory: Path, setup: Setup, homeserver_ca: bytes | None = None
) -> Iterator[SiteServer]:
    """Give a web server that runs; without one installed the test is skipped, in CI it fails."""
    name = EXECUTABLES[program]
    executable = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if executable is None:
        not_installed(name)
    server = SiteServer(program, executable, directory, setup, homeserver_ca)
    try:
        server.start()
        yield server
    finally:
        server.stop()
