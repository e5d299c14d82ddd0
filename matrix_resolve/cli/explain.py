"""`matrix-resolve explain NAME...`: the story of each name, as a tree."""

import argparse
from typing import TYPE_CHECKING, Any, Final

from matrix_resolve.cli.arguments import add_names, add_output_arguments, add_resolver_arguments
from matrix_resolve.core.resolution import Resolution
from matrix_resolve.core.story import circumstances, story
from matrix_resolve.errors import readable

if TYPE_CHECKING:
    from rich.tree import Tree

    from matrix_resolve.cli.names import Outcome

SUMMARY: Final = "tell what was asked and answered, step by step"
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
    from matrix_resolve.cli.output import complain, console, print_json

    out = None if arguments.json else console(no_color=arguments.no_color)

    def told(outcome: "Outcome") -> bool:
        if out is None:
            print_json(story_json(outcome))
        elif outcome.resolution is None:
            complain(outcome.error)
        else:
            out.print(story_tree(outcome, outcome.resolution))
        return outcome.error is None

    return await tell_each(arguments, told)


def story_json(outcome: "Outcome") -> dict[str, Any]:
    """Return all that is found as JSON-ready values."""
    found = outcome.to_dict()
    if outcome.resolution is not None:
        found["addresses"] = outcome.addresses
        found["aliases"] = outcome.aliases()
        found["redirects"] = [
            {"status": status, "url": url}
            for entry in outcome.resolution.trail
            for status, url in outcome.heard.redirects_of(str(entry.question))
        ]
    return found


def story_tree(outcome: "Outcome", resolution: Resolution) -> "Tree":
    """Return the story of a resolution as a tree: steps, the questions asked in them, the end."""
    from rich.columns import Columns
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
            # Beside each other where there is room for both.
            asked = (f"{told.entry.question}:", circumstances(told.entry))
            branch.add(Columns(Text(part, overflow="fold") for part in asked))
            for status, url in outcome.heard.redirects_of(str(told.entry.question)):
                branch.add(Text(f"redirected ({status}) to {readable(url)}"))
    end = tree.add(Text("so", style="bold"))
    end.add(Text(f"connect to {', '.join(map(str, resolution.targets))}", style="green"))
    end.add(Text(f"Host: {resolution.host_header}", style="green"))
    end.add(Text(f"certificate for {resolution.tls_name}", style="green"))
    for line in outcome.addresses_told():
        end.add(Text(line, style="yellow" if outcome.error else ""))
    for line in outcome.aliases_told():
        end.add(Text(line, style="yellow"))
    if resolution.stale:
        end.add(Text("stale: rests on an answer past its lifetime", style="yellow"))
    if resolution.degraded:
        end.add(Text("degraded: an SRV lookup failed and was treated as none", style="yellow"))
    return tree
