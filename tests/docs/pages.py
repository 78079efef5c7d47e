"""What the documentation shows to be run: Python, recipes, command lines."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SNIPPET = re.compile(r'^--8<-- "(.*)"$', re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block; ``code`` is on the lines of the page that it stands on."""

    page: Path
    language: str
    code: str


def name(page: Path) -> str:
    """A page as tests call it."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[Block]:
    """The fenced blocks of a language, snippets put in."""
    return [
        Block(page, language, "\n" * ((token.map or [0])[0] + 1) + _filled(token.content))
        for token in MarkdownIt().parse(page.read_text(encoding="utf-8"))
        if token.type == "fence" and token.info.strip() == language
    ]


def _filled(code: str) -> str:
    return SNIPPET.sub(lambda hit: (ROOT / hit[1]).read_text(encoding="utf-8"), code)


def commands(page: Path) -> Iterator[list[str]]:
    """The arguments of every ``prunus`` line in console blocks, and in code within prose."""
    for block in blocks(page, "console"):
        for line in block.code.splitlines():
            if line.startswith("prunus "):
                yield shlex.split(line, comments=True)[1:]
    for line in inline(page):
        if line.startswith("prunus ") and len(line.split()) > 2:
            yield shlex.split(line)[1:]


def inline(page: Path) -> Iterator[str]:
    """Code within prose and tables."""
    for token in MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8")):
        yield from (part.content for part in token.children or () if part.type == "code_inline")
