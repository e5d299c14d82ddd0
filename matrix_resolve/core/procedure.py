"""The specification's "Resolving server names": steps 1 to 6, in order, and nothing else.

https://spec.matrix.org/latest/server-server-api/#resolving-server-names
"""

from collections.abc import Iterable, Mapping
from typing import Final

from attrs import frozen

from matrix_resolve.core.names import ServerName
from matrix_resolve.core.questions import (
    Answer,
    AskSrv,
    AskWellKnown,
    Delegated,
    NoSrvRecords,
    NotDelegated,
    Question,
    ServiceNotOffered,
    SrvRecords,
)
from matrix_resolve.core.replies import SrvRecord
from matrix_resolve.core.resolution import Step, Target
from matrix_resolve.errors import ServiceNotOfferedError

DEFAULT_PORT = 8448
SERVICES = ("_matrix-fed", "_matrix")
"""The names of the SRV service: of today, and deprecated."""
# "None", as `upcoming` takes it for the answer to what has not been asked.
_NO_DOCUMENT: Final = NotDelegated("not asked")
_NO_RECORDS: Final = NoSrvRecords("not asked")


@frozen(kw_only=True)
class Decision:
    """Where the steps end: all of a resolution that does not depend on time or chance.

    `candidates` are the targets in the order of their priorities; the order within a priority is
    still to be drawn (RFC 2782).
    """

    step: Step
    host_header: str
    tls_name: str
    candidates: tuple[Target, ...]
    delegated_to: ServerName | None = None


def decide(
    name: ServerName, answers: Mapping[Question, Answer], *, legacy_srv: bool = True
) -> Question | Decision:
    """Return the next question that is open, or the decision when none is.

    Put the answer into `answers` and call again; at most three questions are asked. `legacy_srv`
    False leaves out the deprecated steps 3.4 and 5. Raises `ServiceNotOfferedError` when the SRV
    records say so.
    """
    # 1. The hostname is an IP literal: that address, the given port or 8448.
    if name.is_ip_literal:
        return _directly(Step.IP_LITERAL, name)

    # 2. The hostname is no IP literal and has a port: its addresses, that port.
    if name.port is not None:
        return _directly(Step.EXPLICIT_PORT, name)

    # 3. Otherwise ask for the well-known document.
    ask_well_known = AskWellKnown(name.hostname)
    well_known = answers.get(ask_well_known)
    if well_known is None:
        return ask_well_known

    if isinstance(well_known, Delegated):
        delegated = well_known.to
        # 3.1. The delegated name is an IP literal: that address, its port or 8448.
        if delegated.is_ip_literal:
            return _directly(Step.WELL_KNOWN_IP_LITERAL, delegated, delegated_to=delegated)
        # 3.2. The delegated name has a port: its addresses, that port.
        if delegated.port is not None:
            return _directly(Step.WELL_KNOWN_EXPLICIT_PORT, delegated, delegated_to=delegated)
        # 3.3, 3.4, 3.5. Otherwise its SRV records, new and deprecated, or port 8448.
        return _through_srv(
            delegated,
            answers,
            Step.WELL_KNOWN_SRV,
            Step.WELL_KNOWN_LEGACY_SRV if legacy_srv else None,
            Step.WELL_KNOWN_DEFAULT_PORT,
            delegated_to=delegated,
        )

    # 4, 5, 6. Nothing usable: the server name's own SRV records, new and deprecated, or port 8448.
    return _through_srv(
        name, answers, Step.SRV, Step.LEGACY_SRV if legacy_srv else None, Step.DEFAULT_PORT
    )


def _directly(step: Step, name: ServerName, *, delegated_to: ServerName | None = None) -> Decision:
    """Connect to the name itself; `Host` is the name as it stands, with a port if it has one."""
    target = Target(host=name.canonical_host, port=name.port or DEFAULT_PORT)
    return Decision(
        step=step,
        host_header=str(name),
        tls_name=name.canonical_host,
        candidates=(target,),
        delegated_to=delegated_to,
    )


def _through_srv(
    name: ServerName,
    answers: Mapping[Question, Answer],
    srv_step: Step,
    legacy_step: Step | None,
    default_step: Step,
    *,
    delegated_to: ServerName | None = None,
) -> Question | Decision:
    """Follow the SRV records of `name`. They change neither `Host` nor the certificate's name."""
    for step, service in zip((srv_step, legacy_step), SERVICES, strict=True):
        if step is None:
            continue
        ask = AskSrv(f"{service}._tcp.{name.hostname}")
        answer = answers.get(ask)
        if answer is None:
            return ask
        if isinstance(answer, ServiceNotOffered):
            raise ServiceNotOfferedError(f'the only SRV record of {ask.name} has the target "."')
        if isinstance(answer, SrvRecords):
            return Decision(
                step=step,
                host_header=name.hostname,
                tls_name=name.hostname,
                candidates=tuple(map(_target, answer.records)),
                delegated_to=delegated_to,
            )
        # No records, or the lookup failed: the next step.
    return _directly(default_step, name, delegated_to=delegated_to)


def _target(record: SrvRecord) -> Target:
    return Target(
        host=record.target, port=record.port, priority=record.priority, weight=record.weight
    )


def upcoming(
    name: ServerName,
    answers: Mapping[Question, Answer],
    question: Question,
    *,
    legacy_srv: bool = True,
) -> Iterable[Question]:
    """Yield `question`, and those that follow while each is answered with "none".

    Found by asking `decide`, so the steps stand in one place. These may be asked ahead of need.
    """
    assumed = dict(answers)
    outcome: Question | Decision = question
    while not isinstance(outcome, Decision):
        yield outcome
        assumed[outcome] = _NO_DOCUMENT if isinstance(outcome, AskWellKnown) else _NO_RECORDS
        outcome = decide(name, assumed, legacy_srv=legacy_srv)
