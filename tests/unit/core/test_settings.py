from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from node.core import settings as module
from node.core.codes import Structure
from node.core.kinds import Kind
from node.core.settings import CONFIG_VARIABLE, FolderDestination, PacsDestination, Settings, SettingsError, load


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no system file of this machine reaches a test."""
    import os

    for name in list(os.environ):
        if name.startswith("CRLM_NODE_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(module, "SYSTEM_CONFIG", tmp_path / "etc" / "config.toml")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_without_any_file_the_defaults_hold() -> None:
    """A node without a configuration starts, and lets nobody in and nothing out."""
    settings = load()
    assert settings == Settings()
    assert (settings.calling, settings.destinations) == ((), ())
    assert (settings.imports.ae_titles, settings.imports.manufacturers) == ((), ())


def test_every_section_is_read(tmp_path: Path) -> None:
    """A whole file comes back as written, with the kind of each destination."""
    path = write(
        tmp_path / "config.toml",
        """
        home = "/srv/crlm"
        quiet_time_s = 5
        [[calling]]
        ae_title = "SCANNER"
        hosts = ["10.0.0.1"]
        [imports]
        manufacturers = ["QIICR"]
        labels = { tumour_1 = "liver_lesion" }
        [[destinations]]
        kind = "dicom"
        name = "pacs"
        ae_title = "PACS"
        host = "pacs.local"
        port = 104
        [[destinations]]
        kind = "folder"
        name = "out"
        path = "/srv/out"
        [measurement]
        minimum_slices = 20
        """,
    )
    settings = load(path)
    assert settings.home == Path("/srv/crlm")
    assert settings.ledger == "sqlite:////srv/crlm/ledger.sqlite"
    assert settings.spool_dir == Path("/srv/crlm/spool")
    assert settings.quiet_time_s == 5
    assert [str(host) for host in settings.calling[0].hosts] == ["10.0.0.1"]
    assert settings.imports.labels == {"tumour_1": Structure.LESION}
    assert settings.destinations == (
        PacsDestination(kind="dicom", name="pacs", ae_title="PACS", host="pacs.local", port=104),
        FolderDestination(kind="folder", name="out", path=Path("/srv/out")),
    )
    assert settings.measurement.minimum_slices == 20
    assert settings.measurement.core_erosion_mm == 5.0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("quite_time_s = 5", "quite_time_s: unknown key"),
        ("[measurement]\nerosion = 4", "measurement.erosion: unknown key"),
        ("[[calling]]\nhosts = []", "calling.0.ae_title: missing key"),
        (
            '[[destinations]]\nkind = "dicom"\nname = "pacs"\nae_title = "P"\nport = 104',
            "destinations.0.dicom.host: missing key",
        ),
        ('[[destinations]]\nname = "pacs"', "destinations.0"),
        ("port = 99999", "port: "),
        ("lease_s = 0", "lease_s: "),
        ('ae_title = "SEVENTEEN_LETTERS"', "ae_title: "),
        ('ae_title = "   "', "ae_title: "),
        ('ae_title = "A\\\\B"', "ae_title: "),
        ('[imports.labels]\nliver = "heart"', "imports.labels.liver: "),
        (
            '[[destinations]]\nkind = "folder"\nname = "out"\npath = "/out"\nobjects = ["png"]',
            "destinations.0.folder.objects.0: ",
        ),
        ('[[destinations]]\nkind = "folder"\nname = "out"\npath = "/out"\nobjects = []', ".objects: "),
        ('[report]\nlanguage = "qq"', "report: Value error, no language qq; there are: en"),
        ('[report]\nlanguage = "../en"', "report.language: "),
    ],
)
def test_a_wrong_key_stops_the_start_with_its_name(tmp_path: Path, text: str, named: str) -> None:
    """A mistyped, missing or impossible key is named; it is never ignored and never replaced by a default."""
    with pytest.raises(SettingsError) as caught:
        load(write(tmp_path / "config.toml", text))
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ({}, {"seg", "sr", "sr-viewer", "refusal"}),
        ({"objects": ("sr",)}, {"sr", "refusal"}),
        ({"objects": ("seg",)}, {"seg"}),
        ({"objects": ("seg-labelmap", "summary")}, {"seg-labelmap", "summary"}),
        ({"refusals": False}, {"seg", "sr", "sr-viewer"}),
        ({"callers": ("CT1", " OTHER ")}, {"seg", "sr", "sr-viewer", "refusal"}),
        ({"callers": ("CT9",)}, set()),
    ],
)
def test_a_destination_wants_what_its_rules_say(rules: dict[str, Any], wanted: set[str]) -> None:
    """By the kind of object, by whether the study was refused, by who sent the study."""
    destination = FolderDestination(kind="folder", name="out", path=Path("/out"), **rules)
    callers = {"CT1", "WORKSTATION"}
    found = {kind for kind in Kind if destination.wants(kind, callers, refused=False)}
    assert found | {"refusal" for _ in range(destination.wants("sr", callers, refused=True))} == wanted


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("redis://redis:6379/0", "redis://:a%2Fb%40c@redis:6379/0"),
        ("rediss://crlm:old@redis/1?ssl_cert_reqs=required", "rediss://crlm:a%2Fb%40c@redis/1?ssl_cert_reqs=required"),
    ],
)
def test_the_password_of_the_broker_comes_from_its_file(tmp_path: Path, url: str, whole: str) -> None:
    """It stands in the URL that is connected to, whatever characters it has, and not in the settings."""
    file = write(tmp_path / "password", "a/b@c\n")
    settings = Settings(broker_url=url, broker_password_file=file)
    assert settings.broker == whole
    assert "a/b@c" not in settings.model_dump_json()
    assert Settings(broker_url=url).broker == url


@pytest.mark.parametrize(
    "url", ["redis:///0", "http://redis/0", "redis:6379", "redis://redis:0/0", "redis://a:b/c@redis"]
)
def test_a_broker_is_a_redis_with_a_host(url: str, tmp_path: Path) -> None:
    """What is no such URL stops the start; it is not repeated, for it may hold a password."""
    with pytest.raises(SettingsError) as caught:
        load(write(tmp_path / "config.toml", f'broker_url = "{url}"\n'))
    assert "broker_url: Value error, not as redis://HOST:6379/0" in str(caught.value)
    assert url not in str(caught.value)


def test_a_password_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A secret that was not mounted stops the process with the name of its setting."""
    with pytest.raises(SettingsError, match=r"broker_password_file: .*none cannot be read"):
        _ = Settings(broker_password_file=tmp_path / "none").broker


def test_every_wrong_key_is_named_at_once(tmp_path: Path) -> None:
    """A person mends the file in one go."""
    with pytest.raises(SettingsError) as caught:
        load(write(tmp_path / "config.toml", "nonsense = 1\nport = 0\n"))
    assert "nonsense: unknown key" in str(caught.value)
    assert "port: " in str(caught.value)


def test_two_destinations_of_one_name_are_refused(tmp_path: Path) -> None:
    """The ledger knows a destination by its name: two of one name would share their deliveries."""
    twice = '[[destinations]]\nkind = "folder"\nname = "out"\npath = "/a"\n' * 2
    with pytest.raises(SettingsError, match="two destinations have the same name"):
        load(write(tmp_path / "config.toml", twice))


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), (b"home = ", "not TOML"), (b"home = '\xff'", "not TOML")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    """A named file that is absent or no TOML stops the start: the defaults do not stand in for it."""
    path = tmp_path / "config.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_the_option_wins_over_the_variable_and_that_over_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file is read, the most particular one; files are not mixed."""
    write(module.SYSTEM_CONFIG, "port = 1001\nquiet_time_s = 7")
    assert load().port == 1001
    monkeypatch.setenv(CONFIG_VARIABLE, str(write(tmp_path / "variable.toml", "port = 1002")))
    assert load().port == 1002
    assert load().quiet_time_s == Settings().quiet_time_s
    assert load(write(tmp_path / "option.toml", "port = 1003")).port == 1003


def test_a_variable_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`CRLM_NODE_*` stands above the file, also for one key of a section, whose other keys stay the file's."""
    path = write(tmp_path / "config.toml", "port = 1001\nlease_s = 30\n[measurement]\nminimum_slices = 20\n")
    monkeypatch.setenv("CRLM_NODE_PORT", "1002")
    monkeypatch.setenv("CRLM_NODE_MEASUREMENT__CORE_EROSION_MM", "4.5")
    settings = load(path)
    assert settings.port == 1002
    assert settings.lease_s == 30
    assert settings.measurement.core_erosion_mm == 4.5
    assert settings.measurement.minimum_slices == 20


@pytest.mark.parametrize("name", ["CRLM_NODE_PROT", "CRLM_NODE_MEASUREMENT__EROSION", "CRLM_NODE_MEASUREMENTS__PSOAS"])
def test_an_unknown_variable_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A mistyped variable is as much a mistake as a mistyped key."""
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=r"PROT|measurement\.erosion|MEASUREMENTS"):
        load()


def test_settings_are_frozen() -> None:
    """Nothing changes a setting after the start."""
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.measurement.minimum_slices = 3  # type: ignore[misc]


def test_every_setting_says_what_it_is() -> None:
    """The settings page is generated from the descriptions, so that each key needs one."""
    assert [name for name, one in Settings.model_fields.items() if not one.description] == []
