"""Runs what the command line says."""

import asyncio
import json
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TextIO

from rich.console import Console

from matrix_resolve.cli.arguments import parse
from matrix_resolve.cli.output import Outcome, look_up, story_tree
from matrix_resolve.compose import compose_resolver
from matrix_resolve.core.addresses import AddressPolicy
from matrix_resolve.policy import Policy
from matrix_resolve.resolver import Resolver


def run(argv: Sequence[str] | None) -> int:
    """Do what the arguments say; return the exit status."""
    arguments = parse(argv)
    plain = arguments.no_color or bool(os.environ.get("NO_COLOR"))
    out, err = _console(sys.stdout, plain), _console(sys.stderr, plain)
    try:
        return asyncio.run(_run(arguments, out, err))
    except KeyboardInterrupt:
        return 130
    except OSError as error:  # what is printed can't be written
        print(f"matrix-resolve: {error}", file=sys.stderr)
        return 1


def _console(file: TextIO, plain: bool) -> Console:
    return Console(
        file=file,
        highlight=False,
        markup=False,
        emoji=False,
        color_system=None if plain else "auto",
        # A pipe has no width, and a program that reads from it wants no line broken.
        width=None if file.isatty() else 10_000,
    )


async def _run(arguments: Namespace, out: Console, err: Console) -> int:
    if arguments.command == "demo":
        try:
            from matrix_resolve.cli.demo import demo
        except ImportError as error:  # without the extra `testing`; the message says so
            err.print(f"matrix-resolve: {error}")
            return 2
        return await demo(out)
    async with _resolver(arguments) as resolver:
        tasks = [
            asyncio.create_task(look_up(resolver, name, endpoints=arguments.command == "explain"))
            for name in arguments.names
        ]
        status = 0
        for task in tasks:  # looked up side by side, told in the order given
            outcome = await task
            _tell(outcome, arguments, out, err)
            status = max(status, 0 if outcome.resolution is not None else 1)
    return status


def _tell(outcome: Outcome, arguments: Namespace, out: Console, err: Console) -> None:
    if arguments.json:
        out.print(json.dumps(outcome.to_dict()), soft_wrap=True)
    elif outcome.resolution is None:
        err.print(f"matrix-resolve: {outcome.error}", style="red", soft_wrap=True)
    elif arguments.command == "explain":
        out.print(story_tree(outcome.resolution, outcome.addresses_told()))
    else:
        out.print(str(outcome.resolution), soft_wrap=True)


def _resolver(arguments: Namespace) -> AbstractAsyncContextManager[Resolver]:
    third = arguments.timeout / 3
    return compose_resolver(
        policy=Policy(
            well_known_timeout=2 * third, well_known_connect_timeout=third, dns_timeout=third
        ),
        address_policy=AddressPolicy.allow_all() if arguments.allow_private else None,
        nameservers=arguments.nameserver,
        ssl_context=arguments.ssl_context,
    )
