"""`matrix-resolve explain NAME...`: the story of each name, as a tree."""

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from matrix_resolve.cli.arguments import add_names, add_output_arguments, add_resolver_arguments
from matrix_resolve.core.resolution import Resolution
from matrix_resolve.core.story import circumstances, story

if TYPE_CHECKING:
    from rich.tree import Tree

    from matrix_resolve.cli.names import Outcome

SUMMARY: Final = "tell the story of each name: what was asked and answered, step by step"
EXAMPLES: Final = """
matrix-resolve explain example.org
matrix-resolve explain --nameserver 9.9.9.9 example.org
matrix-resolve explain --json example.org
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Take names."""
    add_names(parser)
    add_resolver_arguments(parser)
    add_output_arguments(parser)


async def run(arguments: argparse.Namespace) -> int:
    """Tell how each name leads where it does, with its addresses; return the exit status."""
    from matrix_resolve.cli.names import tell_each
    from matrix_resolve.cli.output import console

    out = None if arguments.json else console(no_color=arguments.no_color)

    def told(outcome: "Outcome", resolution: Resolution) -> None:
        if out is not None:
            out.print(story_tree(resolution, outcome.addresses_told()))

    return await tell_each(arguments, told, endpoints=True)


def story_tree(resolution: Resolution, addresses: Iterable[str]) -> "Tree":
    """Return the story of a resolution as a tree: steps, the questions asked in them, the end."""
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(str(resolution.server_name), style="bold"))
    steps = story(
        resolution.server_name,
        resolution.delegated_to,
        resolution.step.value,
        resolution.trail,
    )
    for told in steps:
        style = "green" if told.taken else "dim" if told.entry is None else ""
        verdict = ", taken" if told.taken else ", passed over" if told.entry is None else ""
        branch = tree.add(Text(f"step {told.label}{verdict}: {told.text}", style=style))
        if told.entry is not None:
            branch.add(Text(f"{told.entry.question}: {circumstances(told.entry)}"))
    end = tree.add(Text("so", style="bold"))
    end.add(Text(f"connect to {', '.join(map(str, resolution.targets))}", style="green"))
    end.add(Text(f"Host: {resolution.host_header}", style="green"))
    end.add(Text(f"certificate for {resolution.tls_name}", style="green"))
    for line in addresses:
        end.add(Text(line))
    if resolution.stale:
        end.add(Text("stale: rests on an answer past its lifetime", style="yellow"))
    if resolution.degraded:
        end.add(Text("degraded: an SRV lookup failed and was treated as none", style="yellow"))
    return tree
