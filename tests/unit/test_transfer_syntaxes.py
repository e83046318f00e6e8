"""docs/transfer-syntaxes.md is what the code does, and leaves out nothing of the standard's list."""

import re
from pathlib import Path

import pynetdicom  # noqa: F401 - it adds to pydicom's list what the standard has added since
from pydicom._uid_dict import UID_dictionary

from node.core.dicom import TRANSFER_SYNTAXES
from workers.acquisition import LOSSY_SYNTAXES

PAGE = (Path(__file__).parents[2] / "docs" / "transfer-syntaxes.md").read_text("utf-8")
STANDARD = {uid: facts[0] for uid, facts in UID_dictionary.items() if facts[1] == "Transfer Syntax"}


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading, whose second is a UID."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\| (.+) \|$", section, flags=re.MULTILINE)
    return [cells for line in lines if re.fullmatch(r"[0-9.]+", (cells := line.split(" | "))[1])]


def test_what_is_read_is_what_the_code_reads() -> None:
    """Name, UID and loss of each, in the order of the code."""
    expected = [[uid.name, str(uid), "yes" if uid in LOSSY_SYNTAXES else "no"] for uid in TRANSFER_SYNTAXES]
    assert rows("Read") == expected


def test_every_other_one_of_the_standard_is_listed_as_refused() -> None:
    """By the name that the reason gives."""
    listed = {uid: name.removesuffix(" (retired)") for name, uid in rows("Refused")}
    assert listed == {uid: name for uid, name in STANDARD.items() if uid not in TRANSFER_SYNTAXES}
    assert len(listed) > 40
