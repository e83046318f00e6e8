"""The rules by which stage 4 ranks series: ours, and what a site lays over them.

Beside the stages. Comes in: `default_rules.toml` and, where the setting `series_rules` names one, the site's file,
whose tables are laid over ours key by key. Goes out: `Rules`, frozen. What can go wrong: the file cannot be read, or
a key is unknown, missing or wrong (`SettingsError`, which names it). Next: the modules beside this one.
"""

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from node.core.settings import SettingsError


class Phase(StrEnum):
    """Phase of contrast."""

    PORTAL_VENOUS = "portal-venous"
    ARTERIAL = "arterial"
    LATE = "late"
    CONTRAST = "contrast"
    NATIVE = "native"
    UNKNOWN = "unknown"


class Kernel(StrEnum):
    """Kind of a reconstruction kernel."""

    SHARP = "sharp"
    MEDIUM = "medium"
    HEAD = "head"
    SOFT = "soft"
    UNKNOWN = "unknown"


class Pixels(StrEnum):
    """What was done to the pixels, by Image Type and Lossy Image Compression."""

    ORIGINAL = "original"
    DERIVED = "derived"
    PROCESSED = "processed"
    REFORMATTED = "reformatted"
    LOSSY = "lossy"
    UNKNOWN = "unknown"


class Place(StrEnum):
    """Where a pattern is looked for."""

    DESCRIPTION = "description"
    PROTOCOL = "protocol"
    BODY_PART = "body part"
    IMAGE_TYPE = "image type"
    KERNEL = "kernel"


def folded(words: str) -> str:
    """Return words as patterns meet them: small letters without accents, `_` and runs of blanks as one space."""
    plain = unicodedata.normalize("NFKD", words.casefold())
    return " ".join("".join(one for one in plain if not unicodedata.combining(one)).replace("_", " ").split())


def _compiled(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return re.compile(value)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error


def _rising(curve: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    sizes = [size for size, _ in curve]
    if not curve or sizes != sorted(set(sizes)):
        raise ValueError("pairs of millimetres and share, the millimetres rising")
    return curve


Share = Annotated[float, Field(ge=0, le=1)]
Pattern = Annotated[re.Pattern[str], BeforeValidator(_compiled)]
Patterns = tuple[Pattern, ...]
Curve = Annotated[tuple[tuple[float, Share], ...], AfterValidator(_rising)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Weights(_Table):
    """The most points of each criterion."""

    coverage: float = Field(ge=0)
    phase: float = Field(ge=0)
    kernel: float = Field(ge=0)
    thickness: float = Field(ge=0)
    field_of_view: float = Field(ge=0)
    pixels: float = Field(ge=0)


class Curves(_Table):
    """Share of the points by size."""

    coverage_mm: Curve
    thickness_mm: Curve
    field_of_view_mm: Curve


class Shares(_Table):
    """Share of the points by kind; every kind has one."""

    phase: Mapping[Phase, Share]
    kernel: Mapping[Kernel, Share]
    pixels: Mapping[Pixels, Share]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        kinds: tuple[tuple[str, type[StrEnum], Mapping[Any, float]], ...] = (
            ("phase", Phase, self.phase),
            ("kernel", Kernel, self.kernel),
            ("pixels", Pixels, self.pixels),
        )
        for name, enum, given in kinds:
            if missing := [one.value for one in enum if one not in given]:
                raise ValueError(f"{name}.{missing[0]} is missing")
        return self


class Limits(_Table):
    """What a series has to be; 0 and nothing ask nothing."""

    coverage_at_least_mm: float = Field(ge=0)
    thickness_at_most_mm: float = Field(ge=0)
    phases: tuple[Phase, ...]


class NoInjection(_Table):
    """What agent and route say where nothing was injected."""

    agents: Patterns
    routes: Patterns


class KernelNames(_Table):
    """How a kind of kernel is called: the whole name of the kernel, or a word of the description."""

    names: Patterns
    words: Patterns


class Condition(_Table):
    """Words by which a series is known: the first place in which one of the two patterns is found decides."""

    pattern: Pattern
    why: str = Field(min_length=1)
    unless: Pattern | None = None
    look_in: tuple[Place, ...] = Field((Place.DESCRIPTION, Place.PROTOCOL, Place.BODY_PART), min_length=1)
    off: bool = False

    def holds(self, texts: Mapping[Place, str]) -> bool:
        """Say whether the pattern is found, and not `unless` beside it or before it."""
        for place in () if self.off else self.look_in:
            if self.unless is not None and self.unless.search(texts[place]):
                return False
            if self.pattern.search(texts[place]):
                return True
        return False


class Exclusion(Condition):
    """What leaves a series out; with `coverage_below_mm` only a shorter one."""

    coverage_below_mm: float | None = Field(None, gt=0)


class Preference(Condition):
    """What counts for a series, or against it."""

    points: float


class Rules(_Table):
    """All that ranks series."""

    weights: Weights
    curves: Curves
    shares: Shares
    limits: Limits
    phases: Mapping[Literal[Phase.PORTAL_VENOUS, Phase.ARTERIAL, Phase.LATE, Phase.NATIVE, Phase.CONTRAST], Patterns]
    delays_s: Mapping[Literal[Phase.ARTERIAL, Phase.PORTAL_VENOUS, Phase.LATE], tuple[float, float]]
    no_injection: NoInjection
    kernels: Mapping[Literal[Kernel.SHARP, Kernel.MEDIUM, Kernel.HEAD, Kernel.SOFT], KernelNames]
    must: Mapping[str, Condition] = Field(default_factory=dict)
    must_not: Mapping[str, Exclusion] = Field(default_factory=dict)
    prefer: Mapping[str, Preference] = Field(default_factory=dict)


@cache
def default() -> Rules:
    """Return our own rules."""
    return Rules.model_validate(_ours())


def load(path: Path | None) -> Rules:
    """Return the rules of a site: ours, with its file laid over them; None stands for ours alone.

    Raises
    ------
    SettingsError
        The file cannot be read, or a key is unknown, missing or wrong; every such key is named.
    """
    if path is None:
        return default()
    try:
        own = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"series_rules: {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"series_rules: {path}: not TOML: {error}") from error
    try:
        return Rules.model_validate(_laid_over(_ours(), own))
    except ValidationError as error:
        faults = "; ".join(_sentence(fault) for fault in error.errors())
        raise SettingsError(f"series_rules: {path}: {faults}") from error


def _ours() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("default_rules.toml").read_text(encoding="utf-8"))


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay tables over tables; anything else takes the place of what was there."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        merged[key] = _laid_over(below[key], value) if both else value
    return merged


def _sentence(fault: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in fault["loc"] if part != "[key]")
    what = {"extra_forbidden": "unknown key", "missing": "missing key"}.get(fault["type"])
    if what is None:
        what = "unknown key" if "[key]" in fault["loc"] else fault["msg"].removeprefix("Value error, ")
    return f"{key}: {what}"
