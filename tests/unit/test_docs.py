"""The pages that must follow the code."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from markdown import markdown
from mkdocs.__main__ import cli as mkdocs
from typer.core import TyperGroup as Group
from typer.main import get_command

from node.cli import app
from node.cli.reference import commands_page
from node.core import private_codes
from node.core.ailments import Ailment
from node.core.ledger.audit import Rejection
from node.core.reasons import NotComputed, RegionRefusal, StudyRefusal
from node.messages import CURES, messages_page
from node.reference import settings_page
from node.review.rules import RULES
from workers.measurement import bounds, catalogue
from workers.measurement.radiomics import parameters
from workers.measurement.radiomics.classes import CLASSES

ROOT = Path(__file__).parents[2]
SITE = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_settings_page_is_that_of_the_code() -> None:
    """docs/settings.md is what `crlm-node config reference` prints."""
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == settings_page() + "\n"


def test_commands_page_is_that_of_the_command_line() -> None:
    """docs/cli.md is what `crlm-node config reference commands` prints."""
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == commands_page() + "\n"


def test_messages_page_is_that_of_the_code() -> None:
    """docs/messages.md is what `crlm-node config reference messages` prints; each refusal has a cure."""
    assert (ROOT / "docs" / "messages.md").read_text(encoding="utf-8") == messages_page() + "\n"
    assert {*StudyRefusal, *NotComputed, *RegionRefusal, *Rejection} == set(CURES)


def test_licences_page_names_what_is_installed() -> None:
    """docs/licences.md has a row for each package that is pinned for node and worker, with version and licence."""
    rows = re.findall(r"^\| ([\w-]+) \| (\S+) \| (.+) \| (node|worker) \|$", page("licences"), re.MULTILINE)
    pinned = {}
    for part in ("node", "worker"):
        lines = (ROOT / "deploy" / "constraints" / f"{part}.txt").read_text(encoding="utf-8").splitlines()
        for line in lines:
            if "==" in line and not line.startswith(("#", "async-timeout")):  # which older versions of Python need
                name, _, version = line.partition("==")
                pinned[re.sub(r"[-_.]+", "-", name).lower()] = (version, part)
    assert {name: (version, part) for name, version, _, part in rows} == pinned
    assert all(licence.strip() for _, _, licence, _ in rows)


def test_each_hazard_is_guarded_by_tests_that_exist() -> None:
    """Every row of docs/hazards.md names at least one test, and each named test is a function of its file."""
    rows = [line for line in page("hazards").splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert len(rows) > 15
    for row in rows:
        guards = re.findall(r"`(tests/\S+\.py)::(test_\w+)`", row)
        assert guards, row
        for path, name in guards:
            assert re.search(rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), (
                f"{path}::{name}"
            )


def test_every_page_is_in_the_navigation() -> None:
    """A page that the site does not lead to is not read; one that is not there stops `make check`."""
    named = set(re.findall(r"^ +- (?:Start: )?([\w-]+\.md)$", SITE, re.MULTILINE))
    assert named == {path.name for path in (ROOT / "docs").glob("*.md")}


@pytest.mark.parametrize(
    ("name", "words", "sound"),
    [
        ("index", "[there](index.md#a-heading)\n\n## A heading", True),
        ("index", "[nowhere](gone.md)", False),
        ("index", "[nowhere](index.md#gone)", False),
        ("index", "![no picture](gone.png)", False),
        ("astray", "A page that nothing leads to.", False),
    ],
)
def test_a_fault_of_the_pages_stops_the_build(tmp_path: Path, name: str, words: str, sound: bool) -> None:
    """`make check` builds the site with these words and settings; a fault is a dead link, or a page that none names."""
    [order] = set(re.findall(r"python -m mkdocs (build[ \w-]*\w)", (ROOT / "Makefile").read_text(encoding="utf-8")))
    settings, _, _ = SITE.partition("\nnav:")
    file = tmp_path / "mkdocs.yml"
    file.write_text(f"{settings}\nnav: [index.md]\n", encoding="utf-8")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Begin\n", encoding="utf-8")
    (tmp_path / "docs" / f"{name}.md").write_text(f"# Planted\n\n{words}\n", encoding="utf-8")
    assert CliRunner().invoke(mkdocs, [*order.split(), "-f", str(file)]).exit_code == (0 if sound else 1)


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def test_measurements_page_is_that_of_the_code() -> None:
    """docs/measurements.md is what `python -m workers.measurement.catalogue` prints."""
    assert (ROOT / "docs" / "measurements.md").read_text(encoding="utf-8") == catalogue.page()


def test_private_codes_page_is_that_of_the_code() -> None:
    """docs/private-codes.md is what `python -m node.core.private_codes` prints."""
    assert (ROOT / "docs" / "private-codes.md").read_text(encoding="utf-8") == private_codes.page()


def test_plausibility_page_is_that_of_the_code() -> None:
    """docs/plausibility.md is what `workers.measurement.bounds` says."""
    assert (ROOT / "docs" / "plausibility.md").read_text(encoding="utf-8") == bounds.page()


def test_report_commands_page_names_every_rule() -> None:
    """The table of docs/report-commands.md has a row for each rule, with its sentence, and none that is no rule."""
    rows = re.findall(r"^\| `(.+)` \| .+ \| (.+) \|$", (ROOT / "docs/report-commands.md").read_text(), re.MULTILINE)
    assert set(rows) == {(rule.id, rule.sentence) for rules in RULES.values() for rule in rules}


def test_doctor_page_has_every_cure() -> None:
    """The table of docs/doctor.md has a row for each ailment, with its cure, and no other."""
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", (ROOT / "docs" / "doctor.md").read_text(), re.MULTILINE)
    cures = {(one.value, one.sentence.replace("{{", "{").replace("}}", "}")) for one in Ailment}
    assert set(rows) == cures


def test_radiomics_page_names_what_is_offered_and_refused() -> None:
    """docs/radiomics.md has every setting, class and image type that is offered, and every code of a refusal."""
    text = (ROOT / "docs" / "radiomics.md").read_text(encoding="utf-8")
    for name in (*parameters.OFFERED, *parameters.IMAGE_TYPES, *CLASSES, *RegionRefusal):
        assert f"`{name}`" in text, name


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_links_lead_somewhere(page: str) -> None:
    """Every relative link of a page names a file of the repository."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target


def test_every_item_of_a_list_is_one_in_the_site() -> None:
    """Its Markdown joins a step to the one before, where code between them is indented by less or touches it."""
    wanted = re.findall(r"\[(.+)\]", re.findall(r"^markdown_extensions: .+$", SITE, re.MULTILINE)[0])[0].split(", ")
    for path in (ROOT / "docs").glob("*.md"):
        text = path.read_text(encoding="utf-8")
        items = re.findall(r"^ *(?:-|\d+\.) ", re.sub(r"^( *)```.*?^\1```", "", text, flags=re.M | re.S), re.MULTILINE)
        assert len(items) == markdown(text, extensions=wanted).count("<li>"), path.name


def test_readme_names_every_command() -> None:
    """A command that the README does not name cannot be found by a newcomer."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    for name in [*names, "config check", "config show"]:
        assert re.search(rf"`?{name}\b", readme), name


def test_help_is_complete() -> None:
    """Every command, argument and option says what it is."""
    group = get_command(app)
    assert isinstance(group, Group)
    for name, command in group.commands.items():
        assert command.help, name
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name}: {parameter.name}"
