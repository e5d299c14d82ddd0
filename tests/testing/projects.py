"""Somebody else's project, in which pytest runs."""

import subprocess
import sys
from pathlib import Path


def run_pytest(folder: Path, code: str, *arguments: str) -> str:
    """Run pytest over `code` in a project of its own and return what it prints."""
    (folder / "test_it.py").write_text(code)
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout
