"""Shell completion, tried in the shells that are there."""

import shutil
import subprocess
from pathlib import Path

import pytest

from matrix_resolve.cli import main
from matrix_resolve.cli.completion import SHELLS
from matrix_resolve.cli.parsing import COMMANDS

# Shell -> what prints the completions of a command line whose words are given, one a line. The last
# word is the one to complete.
TRIES = {
    "bash": """
source "$SCRIPT"
function=$(complete -p matrix-resolve | sed 's/.* -F \\([^ ]*\\) .*/\\1/')
COMP_WORDS=(matrix-resolve "$@")
COMP_CWORD=$#
"$function"
printf '%s\\n' "${COMPREPLY[@]}"
""",
    "fish": """
source $SCRIPT
complete -C"matrix-resolve $argv" | string replace -r '\\t.*' ''
true
""",
}


def script(shell: str, capsys: pytest.CaptureFixture[str], path: Path) -> Path:
    """Write the script for a shell."""
    assert main(["completion", shell]) == 0
    path.write_text(capsys.readouterr().out)
    return path


@pytest.mark.parametrize("shell", TRIES)
def test_completions(shell: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Commands are completed, the options of each, and the names of files where one belongs."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell}")
    written = script(shell, capsys, tmp_path / "script")
    (tmp_path / "ca.pem").touch()

    def completed(*words: str) -> set[str]:
        arguments = [*(["bash"] if shell == "bash" else []), *words]
        ended = subprocess.run(
            [program, "-c", TRIES[shell], *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            cwd=tmp_path,
            env={"SCRIPT": str(written), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        )
        assert ended.stderr == ""
        return {*ended.stdout.split()}

    assert completed("") >= {*COMMANDS}
    assert completed("exp") == {"explain"}
    assert completed("explain", "--al") == {"--allow-private"}
    assert completed("explain", "--ca", "c") == {"ca.pem"}
    assert completed("demo", "--n") == {"--no-color"}
    assert completed("completion", "") >= {*SHELLS}


def test_zsh(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Which can't be asked for completions outside a terminal: it takes the script, and for us."""
    program = shutil.which("zsh")
    if program is None:
        pytest.skip("there is no zsh")
    written = script("zsh", capsys, tmp_path / "script")
    code = 'autoload -Uz compinit; compinit -u; eval "$(<$1)"; whence -w $_comps[matrix-resolve]'
    ended = subprocess.run(
        [program, "-f", "-c", code, "zsh", str(written)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert (ended.stdout, ended.stderr) == ("_shtab_matrix_resolve: function\n", "")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_by_default(
    shell: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a name it is the shell that one works in."""
    assert main(["completion", shell]) == 0
    told = capsys.readouterr().out
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
    assert main(["completion"]) == 0
    assert capsys.readouterr().out == told
    assert all(command in told for command in COMMANDS)


def test_an_unknown_shell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it can't be told which shell, one is asked for."""
    for shell in ("", "/bin/ksh"):
        monkeypatch.setenv("SHELL", shell)
        assert main(["completion"]) == 2
        assert "say which shell: bash, zsh, fish" in capsys.readouterr().err
