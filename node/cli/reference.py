"""The page of all commands, as Markdown, made from the command line itself. `crlm-node config reference` prints it."""

import re
from collections.abc import Iterator
from html import escape
from typing import Any

from typer.core import TyperGroup
from typer.main import get_command

from node.cli.application import app

_HEAD = """# Commands

`crlm-node [--config FILE] COMMAND`. Exit codes: 0 done, 1 the job failed or was refused, 2 wrong use. Where the
settings come from is said in [settings.md](settings.md). This page is written by `crlm-node config reference commands`.
"""
_METAVAR = re.compile(r" <.*>$")  # which typer writes behind an argument, once more


def commands_page() -> str:
    """Return every command with its arguments and options: by name, those of a group behind it."""
    root = get_command(app)
    return "\n".join([_HEAD, *_commands(root, root.make_context("crlm-node", [], resilient_parsing=True))])


def _commands(group: Any, parent: Any) -> Iterator[str]:
    for name in sorted(group.commands):
        command = group.commands[name]
        context = type(parent)(command, info_name=name, parent=parent)
        if isinstance(command, TyperGroup):
            yield from _commands(command, context)
        else:
            yield from _section(command, context)


def _section(command: Any, context: Any) -> Iterator[str]:
    yield f"## {context.command_path}\n"
    yield f"```\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```\n"
    yield f"{_plain(command.help)}\n"
    records = [record for one in command.params if (record := one.get_help_record(context))]
    rows = [(_METAVAR.sub("", word), meaning) for word, meaning in records if "--help" not in word]
    if rows:
        yield "| word | meaning |\n|---|---|"
        yield from (f"| {_code(word)} | {_cell(meaning)} |" for word, meaning in rows)
        yield ""


def _plain(text: str) -> str:
    """Return a help text as paragraphs, each of which is a line here."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _code(word: str) -> str:
    """Return a word as code in a cell; of a bar, Markdown in its dialects agrees on nothing but this."""
    return f"<code>{escape(word).replace('|', '&#124;')}</code>" if "|" in word else f"`{word}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
