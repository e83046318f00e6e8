"""The sentences of a result: one file of words for each language, read as package data.

Comes in: a language of `node.core.settings.languages`. Goes out: `Words`, which gives the text of a key and puts facts
into its fields. What can go wrong: a key or a fact that is not there, which is a fault of this program (`KeyError`):
tests hold each file to the same keys and fields as `words/en.toml`, and to the keys that the modules ask for. What is
coded is in no file: codes and their meanings are the same in every language.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

_FOLDER = files("workers.report").joinpath("words")


@dataclass(frozen=True)
class Words:
    """The texts of one language, by keys such as `refusal.description`."""

    language: str
    texts: Mapping[str, str]

    @classmethod
    def of(cls, language: str) -> "Words":
        """Return the texts of a language."""
        return _read(language)

    def __call__(self, key: str, /, **facts: object) -> str:
        """Return the text of a key with these facts in its fields (`str.format`)."""
        return self.texts[key].format(**facts)


@cache
def _read(language: str) -> Words:
    return parse(language, _FOLDER.joinpath(f"{language}.toml").read_text(encoding="utf-8"))


def parse(language: str, text: str) -> Words:
    """Return the texts of a file of words."""
    return Words(language, MappingProxyType(dict(_flat("", tomllib.loads(text)))))


def _flat(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each text by its path; a file holds tables and texts, nothing else."""
    for name, value in table.items():
        if isinstance(value, str):
            yield f"{prefix}{name}", value
        else:
            yield from _flat(f"{prefix}{name}.", value)
