"""What came and went between two checks of a server."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime

from matrix_resolve.checking.findings import read_software
from matrix_resolve.checking.report import Report
from matrix_resolve.cli.check_output import Tell
from matrix_resolve.errors import readable

Check = Callable[[], Awaitable[Sequence[Report]]]


async def watch(check: Check, before: Sequence[Report], seconds: float, tell: Tell | None) -> None:
    """Check again after so many seconds each, without end; print what came and went.

    `tell` is given the whole reports instead, if there is one.
    """
    while True:
        await asyncio.sleep(seconds)
        now = await check()
        if tell is not None:
            tell(now)
            continue
        at = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
        for earlier, later in zip(before, now, strict=True):
            for change in changes(earlier, later):
                print(f"{at} {later.facts.server_name}: {change}", flush=True)
        before = now


def changes(before: Report, now: Report) -> Iterator[str]:
    """Yield what is there now and was not (+), and what was and is not any more (-)."""
    earlier, later = _features(before), _features(now)
    for feature in earlier:
        if feature not in later:
            yield f"- {feature}"
    for feature in later:
        if feature not in earlier:
            yield f"+ {feature}"


def _features(report: Report) -> dict[str, None]:
    """Return what is watched, in words that stay the same while it does."""
    facts = report.facts
    told = [f"answer: {report.answers.reach_told}"]
    # A fact may have figures in it that change all the time (seconds left): the code counts.
    for each in report.findings:
        where = f" at {', '.join(each.where)}" if each.where else ""
        told.append(f"{each.level.value} {each.code}{where}")
    if facts.resolution is not None:
        to = facts.resolution.delegated_to
        told.append("delegation: none" if to is None else f"delegation: to {to}")
        targets = ", ".join(sorted(map(str, facts.resolution.targets)))
        told.append(f"connect to: {targets} (step {facts.resolution.step.value})")
    for endpoint in facts.endpoints:
        place = f"{endpoint.target} at {endpoint.address}"
        software = read_software(endpoint.version)
        if software is not None:
            told.append(f"software: {' '.join(software)} ({place})")
        if endpoint.tls is not None and endpoint.tls.certificate is not None:
            told.append(f"certificate: {endpoint.tls.certificate.sha256} ({place})")
        if endpoint.key_document is not None:
            keys = ", ".join(sorted(key.id for key in endpoint.key_document.verify_keys))
            told.append(f"keys: {keys or 'none'} ({place})")
    return dict.fromkeys(readable(each) for each in told)
