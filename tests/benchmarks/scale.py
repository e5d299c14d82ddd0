"""Names by the million, by simulation: hit ratio, questions a second, memory, longest pause.

    python -m tests.benchmarks.scale [--quick] [--names 1000000] [--rate 50 500] [--days 1.5]
                                     [--seed 0] [--seconds 170] [--json FILE]

Names are drawn by Zipf's law and asked for at a steady rate. Resolver and `MemoryCache` are the
real ones; the servers answer from a table, and time leaps. Rates are those of a sample of the
names with bounds as many times smaller; pauses and memory are those of all names at full size.
Nothing is timed but CPU, so other work on the machine lengthens little but the run. That ends
after `--seconds`, with as many names and days as there was time for.

Addresses are asked for by who fetches, and for who has not been dialled for 15 s. From fifty
resolves a second on, a sample gives SRV lookups no head start: the whole load would not either.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from matrix_resolve import Policy
from tests.benchmarks.measures import MIB, Figures, Setting, full_size, steady, traced

KINDS: Final = {
    "port": "document with a port",
    "host": "document without, SRV behind",
    "nothing": "nothing published",
    "gone": "not in DNS",
    "": "the mix of the load",
}
# The replay at full size has this part of the time, beside the others.
_FULL_SHARE: Final = 0.7
_FEWEST: Final = 1_000  # names of a sample; a third of that where the world is small
_BOUNDS: Final = (10_000, 300_000)


def settings_of(rates: Sequence[float], names: int, *, quick: bool) -> list[Setting]:
    """Return what is compared: the default policy first, at each rate."""
    settings: list[Setting] = []
    fewest = _FEWEST // 3 if quick else _FEWEST
    for rate in rates:
        a_day = (3_000 if quick else 10_000) * max(1.0, rate / 125)  # resolves of a sample
        sample = max(1, min(round(rate * 86_400 / a_day), names // fewest))
        common: dict[str, Any] = {"names": names, "rate": rate, "sample": sample}
        settings.append(Setting(label="default", **common))
        for bound in _BOUNDS:
            policy = {"max_resolved": bound, "max_answers": 3 * bound}
            label = f"{bound:,} names, {3 * bound:,} answers"
            settings.append(Setting(label=label, policy=policy, **common))
        settings.append(Setting(label="no refresh ahead", policy={"refresh_ahead": 0.0}, **common))
        settings.append(Setting(label="4 workers, no Redis", workers=4, **common))
        fewer = min(30_000, names)
        common |= {"names": fewer, "sample": max(1, min(sample, 3 * fewer // fewest))}
        settings.append(Setting(label=f"{fewer:,} names in the world", **common))
    return settings


def measure(arguments: argparse.Namespace) -> Figures:
    """Run everything, on two cores; return all figures."""
    ends = time.monotonic() + arguments.seconds
    quick, seed = arguments.quick, arguments.seed
    settings = settings_of(arguments.rate, arguments.names, quick=quick)
    policy = Policy(max_resolved=3_000, max_answers=9_000) if quick else Policy()
    workers = min(2, os.cpu_count() or 1)
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), max_tasks_per_child=1
    ) as pool:

        def submit(function: Callable[..., Figures], *given: Any, **named: Any) -> Future[Figures]:
            return pool.submit(function, *given, seed=seed, **named)

        full = submit(
            full_size,
            names=arguments.names,
            rate=arguments.rate[0],
            policy=policy,
            seconds=_FULL_SHARE * arguments.seconds,
        )
        memory = [submit(traced, kind, count=300 if quick else 1_000) for kind in KINDS]
        compared = [
            submit(steady_until, setting, days=arguments.days, ends=ends, left=len(settings) - n)
            for n, setting in enumerate(settings)
        ]
        return {
            "arguments": {key: value for key, value in vars(arguments).items() if key != "json"},
            "full_size": full.result(),
            "memory": [future.result() for future in memory],
            "steady": [future.result() for future in compared],
        }


def steady_until(setting: Setting, *, days: float, ends: float, left: int, seed: int) -> Figures:
    """Replay a sample in its part of the time that is left for so many."""
    remaining = ends - time.monotonic()
    # A little more than its part, as two may run beside each other.
    seconds = max(min(1.3 * remaining / left, remaining), 1.0)
    return steady(setting, days=days, seconds=seconds, seed=seed)


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is of words, the others of numbers."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    print(f"\n{title}\n")
    for first, *others in (head, *rows):
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        print("  ".join((first.ljust(widths[0]), *cells)))


def percent(part: float) -> str:
    """Return a part of 1 as percents."""
    return f"{100 * part:.1f} %"


def asked(figures: Figures) -> list[str]:
    """Return the questions a second, as cells."""
    return [f"{figures[key]:.1f}" for key in ("well_known", "srv", "addresses")]


_RATES: Final = ("hits", "of them kept", "> 1 s", "well-known/s", "SRV/s", "addresses/s")


def ratios(figures: Figures) -> list[str]:
    """Return the cells under `_RATES`."""
    return [*(percent(figures[key]) for key in ("hits", "kept", "late")), *asked(figures)]


def print_steady(compared: Sequence[Figures]) -> None:
    """Print how the first setting fares by the hour, and how all compare on their last day."""
    done = [run for run in compared if run["hours"]]
    if len(done) < len(compared):
        print(f"No time was left for {len(compared) - len(done)} of {len(compared)} settings")
    if not done:
        return
    first = done[0]
    hours = first["hours"]
    shown = [
        hour for hour in (1, 2, 3, 6, 12, *range(24, len(hours) + 1, 24)) if hour <= len(hours)
    ]
    table(
        f"By the hour after a start with nothing known, {first['setting']['rate']:g} resolves/s",
        ("hour", *_RATES),
        [[str(hour), *ratios(hours[hour - 1])] for hour in shown],
    )
    table(
        "The last day, by setting (questions of all workers together)",
        ("setting", "resolves/s", *_RATES, "fetches at once", "days"),
        [
            [
                run["label"],
                f"{run['setting']['rate']:g}",
                *ratios(run["last_day"]),
                f"{run['fetching']:.0f}",
                f"{run['days']:.1f}",
            ]
            for run in done
        ],
    )


def print_full(full: Figures, memory: Sequence[Figures]) -> None:
    """Print pauses and memory."""
    table(
        f"All names: {full['max_resolved']:,} names and {full['max_answers']:,} answers at most; "
        "longest pauses in ms of CPU",
        (
            "phase",
            "names",
            "answers",
            "MiB more",
            "pause",
            "without collector",
            "at names",
            "collection",
            "collector's CPU",
        ),
        [
            [
                phase["phase"],
                f"{phase['names']:,}",
                f"{phase['answers']:,}",
                f"{phase['resident'] / MIB:.0f}",
                f"{phase['longest']:.1f}",
                f"{phase['longest_without']:.1f}",
                f"{phase['longest_at']:,}",
                f"{phase['longest_collection']:.1f}",
                percent(phase["collector_share"]),
            ]
            for phase in full["phases"]
        ],
    )
    print(
        f"a full collection when all was kept: {full['collection_ms']:.0f} ms; `invalidate()` and "
        f"the next resolve: {full['invalidate_ms']:.1f} ms"
    )
    table(
        "Memory a name",
        ("kind", "bytes", "tracked objects", "answers", "bytes of addresses"),
        [
            [
                KINDS[kind["kind"]],
                f"{kind['bytes']:,.0f}",
                f"{kind['tracked']:.1f}",
                f"{kind['answers']:.1f}",
                f"{kind['addresses']:,.0f}",
            ]
            for kind in memory
        ],
    )


def print_readme(figures: Figures) -> None:
    """Print the rows of the table in the README's section on sizing."""
    full, mix = figures["full_size"], figures["memory"][-1]
    filling = full["phases"][0]
    kept = max(min(filling["names"], full["max_resolved"]), 1)
    pause = max(phase["longest_without"] for phase in full["phases"])
    defaults = [run for run in figures["steady"] if run["label"] == "default"]
    rates = " and ".join(f"{run['setting']['rate']:g}" for run in defaults)
    rows = {
        "memory a name, traced": f"{mix['bytes'] / 1000:.1f} kB",
        "of a server's addresses, traced": f"{mix['addresses'] / 1000:.1f} kB",
        "resident memory a name": f"{filling['resident'] / kept / 1000:.1f} kB",
        f"longest pause, {kept:,} names": f"{pause:.0f} ms",
        f"a full garbage collection, {kept:,} names": f"{full['collection_ms']:.0f} ms",
    }
    for what, key, form in (
        ("of the resolves that need not wait", "hits", "{:.0%}"),
        ("well-known fetches a second", "well_known", "{:.0f}"),
        ("SRV questions a second", "srv", "{:.0f}"),
        ("address questions a second", "addresses", "{:.0f}"),
    ):
        cells = [form.format(run["last_day"][key]) for run in defaults]
        rows[f"{what}, at {rates} resolves/s"] = " and ".join(cells)
    print("\nFor the README\n\n| what | measured |\n|---|---|")
    for what, measured in rows.items():
        print(f"| {what} | {measured} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--names", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, nargs="+", help="resolves a second (50 and 500)")
    parser.add_argument("--days", type=float, help="simulated days (1.5; quick: 1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, help="how long it may take (170; quick: 40)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--quick", action="store_true", help="50 resolves/s, few names, small")
    arguments = parser.parse_args()
    arguments.rate = arguments.rate or ([50.0] if arguments.quick else [50.0, 500.0])
    arguments.days = arguments.days or (1.0 if arguments.quick else 1.5)
    arguments.seconds = arguments.seconds or (40.0 if arguments.quick else 170.0)
    began = time.monotonic()
    figures = measure(arguments)
    print_steady(figures["steady"])
    print_full(figures["full_size"], figures["memory"])
    print_readme(figures)
    print(f"\n{time.monotonic() - began:.0f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
