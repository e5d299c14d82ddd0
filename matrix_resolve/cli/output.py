"""What came of a name, told to people and programs."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from attrs import frozen
from rich.text import Text
from rich.tree import Tree

from matrix_resolve.core.resolution import Endpoint, Resolution
from matrix_resolve.core.story import circumstances, story
from matrix_resolve.errors import MatrixResolveError
from matrix_resolve.resolver import Resolver


@frozen(kw_only=True)
class Outcome:
    """A name's resolution and endpoints where they were found, and the error where not."""

    name: str
    resolution: Resolution | None = None
    endpoints: tuple[Endpoint, ...] | None = None
    error: MatrixResolveError | None = None

    def addresses_told(self) -> list[str]:
        """Return a line for each target with its addresses, or why there are none."""
        if self.endpoints is None:
            return [] if self.error is None else [str(self.error)]
        return [
            f"addresses of {target}: {', '.join(str(found.address) for found in endpoints)}"
            for target, endpoints in groupby(self.endpoints, key=lambda found: found.target)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the resolution as JSON-ready values, or the error."""
        result: dict[str, Any] = {"version": 1, "server_name": self.name}
        if self.resolution is not None:
            result = self.resolution.to_dict()
        if self.endpoints is not None:
            result["endpoints"] = [
                {
                    "address": str(endpoint.address),
                    "port": endpoint.port,
                    "target": endpoint.target.host,
                }
                for endpoint in self.endpoints
            ]
        if self.error is not None:
            result["error"] = {"type": type(self.error).__name__, "message": str(self.error)}
        return result


async def look_up(resolver: Resolver, name: str, *, endpoints: bool) -> Outcome:
    """Resolve `name`, and with `endpoints` look its addresses up too."""
    resolution = None
    try:
        resolution = await resolver.resolve(name)
        found = await resolver.endpoints(resolution) if endpoints else None
    except MatrixResolveError as error:
        return Outcome(name=name, resolution=resolution, error=error)
    return Outcome(name=name, resolution=resolution, endpoints=found)


def story_tree(resolution: Resolution, addresses: Iterable[str]) -> Tree:
    """Return the story of a resolution as a tree: steps, the questions asked in them, the end."""
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
