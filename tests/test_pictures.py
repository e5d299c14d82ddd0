"""The README's pictures show what the commands print."""

import re
import subprocess
import sys
from html import unescape
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "examples" / "pictures"
NAMES = ("bulk", "check", "demo", "explain")
README = (ROOT / "README.md").read_text()


def words(path: Path) -> list[str]:
    """Return the lines of a picture, whatever the version of rich that drew it."""
    texts = ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")
    placed = [(float(each.attrib["y"]), (each.text or "").split()) for each in texts]
    lines = groupby((each for each in placed if each[1]), key=lambda text: text[0])
    return [" ".join(word for _, words in line for word in words) for _, line in lines]


def test_pictures_are_true(tmp_path: Path) -> None:
    """The commands print what the pictures show; where that has changed, draw them anew."""
    command = [sys.executable, "-W", "error", "-m", "examples.pictures", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    kept, drawn = (
        {path.stem: words(path) for path in folder.glob("*.svg")} for folder in (PICTURES, tmp_path)
    )
    assert drawn == kept
    assert sorted(kept) == [*NAMES]
    for name, lines in kept.items():
        assert lines[0].startswith(f"$ matrix-resolve {name}")
        assert len(lines) > 5


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_light_and_load_nothing(name: str) -> None:
    """A page may not let a picture load fonts, and need not wait for it."""
    text = (PICTURES / f"{name}.svg").read_text()
    assert len(text) < 60_000
    assert not re.findall(r"url\((?!#)", unescape(text))


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_told(name: str) -> None:
    """Each stands in the README once, with words for who can't see it."""
    (told,) = re.findall(rf"!\[([^\]]+)\]\(examples/pictures/{name}\.svg\)", README)
    assert len(told.split()) > 8
