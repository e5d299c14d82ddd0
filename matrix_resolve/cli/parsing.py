"""Which commands there are, and what the words of a command line mean."""

import argparse
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NoReturn, Protocol

from matrix_resolve.cli import bulk, check, completion, demo, explain, resolve, serve


class Command(Protocol):
    """What the module of a command has."""

    @property
    def SUMMARY(self) -> str:  # noqa: N802
        """What it does, in one line."""
        ...

    @property
    def EXAMPLES(self) -> str:  # noqa: N802
        """Command lines, one a line, for the end of its help."""
        ...

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own arguments. An option takes one value or none."""
        ...

    async def run(self, arguments: argparse.Namespace) -> int:
        """Do it; return the exit status. May raise `UsageError`."""
        ...


COMMANDS: Final[Mapping[str, Command]] = {
    "resolve": resolve,
    "explain": explain,
    "check": check,
    "serve": serve,
    "bulk": bulk,
    "demo": demo,
    "completion": completion,
}
# What is meant where no command is named.
_DEFAULT: Final = "resolve"
# Words for which there are options.
_QUESTIONS: Final = ("help", "version")
_LIKE_A_COMMAND: Final = re.compile(r"[a-z-]+")

_EPILOG: Final = """\
`matrix-resolve NAME...` without a command resolves. `matrix-resolve COMMAND
--help` tells the options of a command and shows examples; they may stand before
and after its names.

exit status: 0, 1 if something is not as it should be, 2 for wrong usage
"""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments, with `command` and its `parser`, and the parsers of `whole` and parts.

    Wrong usage, `--help` and `--version` end the program (`SystemExit`).
    """
    given = list(sys.argv[1:] if argv is None else argv)
    whole, parsers = _parsers()
    if not given:
        whole.print_help(sys.stderr)
        whole.exit(2)
    # Only before a "--" is there a command, and are there options: a name may begin with a hyphen.
    end = given.index("--") if "--" in given else len(given)
    options, words = _told_apart(given[:end], _with_value(parsers.values()))
    if words and words[0] in COMMANDS:
        command = words.pop(0)
    elif words and (meant := _meant_by(words)):
        whole.error(
            f"`{words[0]}` is no name to resolve; did you mean `{meant}`?"
            f" (else: `matrix-resolve resolve {words[0]}`)"
        )
    elif words or end < len(given) or not {"-h", "--help"} & {*options}:
        command = _DEFAULT
    else:
        whole.print_help()
        whole.exit()
    parser = parsers[command]
    words += given[end + 1 :]
    hyphened = any(word.startswith("-") and word != "-" for word in words)
    arguments = parser.parse_args([*options, *(["--"] if hyphened else []), *words])
    if getattr(arguments, "names", None) == []:
        parser.error(f"{command} takes at least one name")
    arguments.command, arguments.parser = command, parser
    arguments.whole, arguments.parsers = whole, parsers
    return arguments


def _meant_by(words: Sequence[str]) -> str | None:
    """Return the command that the first word is a mistype of, if that is likely.

    Any word may be the name of a host. One with a dot or a port is taken for it, and one that is
    not much like a command, the more so if no other follows.
    """
    word = words[0].lower()
    if not _LIKE_A_COMMAND.fullmatch(word):
        return None
    if word in _QUESTIONS:
        return f"--{word}"
    from difflib import get_close_matches  # seldom needed

    alike = get_close_matches(word, COMMANDS, 1, cutoff=0.7 if len(words) > 1 else 0.8)
    return alike[0] if alike else None


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser of all, and that of each command."""
    whole = argparse.ArgumentParser(
        prog="matrix-resolve",
        usage="%(prog)s COMMAND ...\n       %(prog)s [options] NAME...",
        description="Find where Matrix server names lead.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action=_Version, help="print the version")
    commands = whole.add_subparsers(prog=whole.prog, title="commands", metavar="COMMAND [...]")
    parsers = {}
    for name, command in COMMANDS.items():
        summary = f"{command.SUMMARY[:1].upper()}{command.SUMMARY[1:]}."
        parsers[name] = parser = commands.add_parser(
            name,
            help=command.SUMMARY,
            description=summary,
            epilog=f"examples:\n{_indented(command.EXAMPLES)}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.configure(parser)
        parser.add_argument("--version", action=_Version, help=argparse.SUPPRESS)
    return whole, parsers


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())


class _Version(argparse.Action):
    """`--version`: looked up when it is asked for only."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest=argparse.SUPPRESS, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from importlib.metadata import version

        print(f"matrix-resolve {version('matrix-resolve')}", flush=True)
        parser.exit()


def _with_value(parsers: Collection[argparse.ArgumentParser]) -> set[str]:
    """Return the options of any command that take a value."""
    return {
        option
        for parser in parsers
        for action in parser._actions  # there is no public way to them
        if action.nargs != 0
        for option in action.option_strings
    }


def _told_apart(given: Sequence[str], with_value: Collection[str]) -> tuple[list[str], list[str]]:
    """Return options with their values, and words: argparse takes them mixed with no commands."""
    options: list[str] = []
    words: list[str] = []
    left = iter(given)
    for word in left:
        if word == "-" or not word.startswith("-"):
            words.append(word)
            continue
        options.append(word)
        # As argparse does, the beginning of an option counts as the option.
        if "=" not in word and any(option.startswith(word) for option in with_value):
            options += [value for value in [next(left, None)] if value is not None]
    return options, words
