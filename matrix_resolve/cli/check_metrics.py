"""Reports as a textfile collector of Prometheus reads them."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from matrix_resolve.checking.findings import Level, read_software
from matrix_resolve.checking.report import Report

_PREFIX: Final = "matrix_resolve_check"


def write_metrics(reports: Iterable[Report], path: str) -> None:
    """Write what was found to a file, all at once: who reads it sees the old or the new."""
    metrics = _Metrics()
    for report in reports:
        metrics.add(report)
    write_to_textfile(path, metrics.registry)


class _Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            labelled = ("server_name", *labels)
            return Gauge(f"{_PREFIX}_{name}", meaning, labelled, registry=self.registry)

        self._status = gauge("status", "0: good, 1: errors, 3: nothing could be told")
        self._at = gauge("timestamp_seconds", "When the check began, in Unix seconds")
        self._findings = gauge("findings", "How many findings there are of a level", "level")
        self._finding = gauge("finding", "1 for each finding", "code", "level")
        self._up = gauge(
            "endpoint_up", "Whether federation answers at an address", "address", "port"
        )
        self._ends = gauge(
            "certificate_end_seconds",
            "When the certificate ends, in Unix seconds",
            "address",
            "port",
        )
        self._keys = gauge(
            "keys_valid_until_seconds",
            "Until when keys are valid, in Unix seconds",
            "address",
            "port",
        )
        self._software = gauge(
            "software_info", "1 for what runs there", "address", "port", "software", "version"
        )

    def add(self, report: Report) -> None:
        """Set the figures of one report."""
        facts, name = report.facts, str(report.facts.server_name)
        self._status.labels(name).set(report.exit_status)
        self._at.labels(name).set(facts.at)
        for level in Level:
            count = sum(each.level is level for each in report.findings)
            self._findings.labels(name, level.value).set(count)
        for each in report.findings:
            self._finding.labels(name, each.code, each.level.value).set(1)
        for endpoint in facts.endpoints:
            place = name, str(endpoint.address), endpoint.target.port
            software = read_software(endpoint.version)
            self._up.labels(*place).set(software is not None)
            if software is not None:
                self._software.labels(*place, *software).set(1)
            if endpoint.tls is not None and endpoint.tls.certificate is not None:
                self._ends.labels(*place).set(endpoint.tls.certificate.not_after)
            document = endpoint.key_document
            if document is not None and document.valid_until_ts is not None:
                self._keys.labels(*place).set(document.valid_until_ts / 1000)
