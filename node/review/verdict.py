"""Rules and what they find.

A rule has an id, the sentence that it asks to be true, a question whether it says anything of an object, and a look
that yields what breaks it. A finding names the place in the object; no finding holds patient data.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from node.review.subject import Subject


class State(StrEnum):
    """What a rule says of an object."""

    OK = "ok"
    WARNED = "warned"
    BROKEN = "broken"
    NOT_APPLICABLE = "n/a"


@dataclass(frozen=True)
class Finding:
    """What breaks a rule at one place; `grave` is False of what only may trouble a reader."""

    where: str
    what: str
    grave: bool = True


@dataclass(frozen=True)
class Rule:
    """A rule.

    Parameters
    ----------
    id
        What it is called in the page of rules.
    sentence
        What has to be true.
    silent
        Returns why the rule says nothing of an object; empty where it does.
    look
        Yields what breaks it.
    """

    id: str
    sentence: str
    silent: Callable[[Subject], str]
    look: Callable[[Subject], Iterable[Finding]]


@dataclass(frozen=True)
class Verdict:
    """What one rule says of one object; `why` is the reason where it says nothing."""

    rule: Rule
    state: State
    findings: tuple[Finding, ...] = ()
    why: str = ""


def judge(subject: Subject, rules: Iterable[Rule]) -> list[Verdict]:
    """Put an object to rules, each on its own."""
    return [_one(subject, rule) for rule in rules]


def _one(subject: Subject, rule: Rule) -> Verdict:
    if why := rule.silent(subject):
        return Verdict(rule, State.NOT_APPLICABLE, why=why)
    findings = tuple(rule.look(subject))
    grave = any(one.grave for one in findings)
    return Verdict(rule, State.BROKEN if grave else State.WARNED if findings else State.OK, findings)
