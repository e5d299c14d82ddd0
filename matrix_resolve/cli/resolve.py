"""`matrix-resolve [resolve] NAME...`: a line a name."""

from argparse import Namespace

from rich.console import Console

from matrix_resolve.cli.names import Outcome, tell_each
from matrix_resolve.core.resolution import Resolution


async def resolve(arguments: Namespace, out: Console, err: Console) -> int:
    """Tell in a line where each name leads; return the exit status."""

    def told(_: Outcome, resolution: Resolution) -> None:
        out.print(str(resolution), soft_wrap=True)

    return await tell_each(arguments, out, err, told, endpoints=False)
