"""deploy/compose.yaml, without an engine: its form, its commands, and what no service of it may do."""

import json
import re
import shutil
import subprocess
import time
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from composed import DEPLOY, compose
from typer.main import get_command

from node.cli import app
from node.core.settings import Settings

NODE = "crlm-node"


COMPOSE = compose()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"].startswith((f"{NODE}:", f"{NODE}-worker:"))}
HOST = re.compile(
    r"^(localhost|[^/]*[.:][^/]*)/"
)  # how an engine knows a registry: the first word, if it looks like one
each_service = pytest.mark.parametrize("name", SERVICES)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of deploy/ as it is once prepare.sh was run."""
    root = tmp_path_factory.mktemp("clone")
    for name in ("deploy", "orthanc"):
        shutil.copytree(DEPLOY.parent / name, root / name, ignore=shutil.ignore_patterns("site", ".env"))
    subprocess.run(["bash", str(root / "deploy" / "prepare.sh")], check=True, capture_output=True)
    return root / "deploy"


def test_it_has_the_form_of_the_compose_specification() -> None:
    """Held against the schema that the specification publishes, as the package check-jsonschema carries it."""
    schema = files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text(encoding="utf-8")
    jsonschema.validate(json.loads(json.dumps(COMPOSE)), json.loads(schema))


def test_every_part_is_there() -> None:
    """The services that an installation is made of, and the profile that watches them."""
    parts = {"orthanc", "redis", "postgres", "listen", "steward", "web", "worker-gpu", "worker-cpu"}
    assert parts <= set(SERVICES)
    assert {name for name, one in SERVICES.items() if one.get("profiles") == ["monitoring"]} == {
        "prometheus",
        "grafana",
    }


@each_service
def test_no_service_may_more_than_it_needs(name: str) -> None:
    """No capability, no new rights, no file system to write, limits, a check of its health, an image with a version."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "cap_add", "pid", "network_mode", "env_file"} & set(service)
    assert {"mem_limit", "cpus", "pids_limit", "healthcheck", "logging"} <= set(service)
    assert re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*", service["image"])


@each_service
def test_no_image_names_a_registry(name: str) -> None:
    """Where images come from is the site's: the engine's own settings, a mirror, a bundle."""
    assert not HOST.match(SERVICES[name]["image"])


@each_service
def test_no_service_runs_as_root(name: str) -> None:
    """By a number in the file, or by the account that its own image says."""
    service = SERVICES[name]
    if "user" in service:
        assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])
    else:
        text = (DEPLOY.parent / service["build"]["dockerfile"]).read_text(encoding="utf-8")
        assert re.findall(r"^USER (\S+)$", text, re.MULTILINE)[-1].split(":")[0] not in ("root", "0")


@each_service
def test_what_is_memory_says_what_every_engine_knows(name: str) -> None:
    """podman takes no owner of a tmpfs, keeps a place below /run for itself, and gives a volume no size."""
    for one in SERVICES[name].get("tmpfs", ()):
        place, _, options = one.partition(":")
        assert not f"{place}/".startswith(("/run/", "/var/run/")), one
        assert {option.partition("=")[0] for option in options.split(",")} <= {"size", "mode"}, one
    sources = {one["source"] for one in SERVICES[name].get("volumes", ()) if one["type"] == "volume"}
    for options in (COMPOSE["volumes"][source].get("driver_opts", {}).get("o", "") for source in sources):
        assert "size=" not in options


def test_broker_and_database_are_reached_from_inside_alone() -> None:
    """They, and the worker with the networks, have no port outside and no way out."""
    assert COMPOSE["networks"]["inner"]["internal"] is True
    for name in ("redis", "postgres", "worker-gpu", "worker-segment"):
        assert "ports" not in SERVICES[name]
        assert list(SERVICES[name]["networks"]) == ["inner"]


def test_what_is_published() -> None:
    """Two DICOM ports to the hospital; every page on the loopback address."""
    published = {port for one in SERVICES.values() for port in one.get("ports", [])}
    assert {port for port in published if port.startswith("0.0.0.0:")} == {"0.0.0.0:11112:11112", "0.0.0.0:4242:4242"}
    assert all(port.startswith("127.0.0.1:") for port in published if not port.endswith((":11112", ":4242")))


def test_no_secret_stands_in_the_file(prepared: Path) -> None:
    """A password is a file that prepare.sh makes; no variable holds one."""
    for service in SERVICES.values():
        environment = service.get("environment", {})
        held = [one for one in environment if "PASSWORD" in one and not one.endswith("_FILE")]
        assert held == []
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
    for name, secret in COMPOSE["secrets"].items():
        path = prepared / secret["file"]
        assert path.name == name
        assert re.fullmatch(r"[\w-]{32}", path.read_text())
        assert path.stat().st_mode & 0o777 == 0o444
    assert (prepared / "site" / "secrets").stat().st_mode & 0o777 == 0o700


@each_service
def test_a_service_gets_the_secrets_that_it_reads(name: str) -> None:
    """Those, so that it starts, and no other."""
    read = {"redis": ["broker_password"], "postgres": ["ledger_password"], "grafana": ["grafana_password"]}
    read |= {"orthanc": ["ORTHANC_PASSWORD"]} | {one: ["ledger_password", "broker_password"] for one in OURS}
    assert SERVICES[name].get("secrets", []) == read.get(name, [])


def test_what_is_there_is_kept(prepared: Path) -> None:
    """A second run changes nothing: the ledger's password is in the database already."""
    before = {path: path.read_bytes() for path in (prepared / "site").rglob("*") if path.is_file()}
    subprocess.run(["bash", str(prepared / "prepare.sh")], check=True, capture_output=True)
    assert {path: path.read_bytes() for path in (prepared / "site").rglob("*") if path.is_file()} == before


@each_service
def test_what_is_mounted_is_there(name: str, prepared: Path) -> None:
    """A bind of a file that is missing makes a folder in its place, and the service a riddle."""
    for volume in SERVICES[name].get("volumes", []):
        if volume["type"] == "bind":
            assert (prepared / volume["source"]).exists(), volume
            assert volume["read_only"] is True
        else:
            assert volume["source"] in COMPOSE["volumes"]


@pytest.mark.parametrize("name", OURS)
def test_its_commands_are_those_of_the_command_line(name: str) -> None:
    """What a service runs, and what its health is asked by, is understood to the last word."""
    health = OURS[name]["healthcheck"]["test"]
    understood(OURS[name]["command"])
    if health[1] == NODE:
        understood(health[2:])


def understood(words: list[str]) -> None:
    """Require that `crlm-node` has a command of these words; it is not run."""
    group: Any = get_command(app)
    command, found, rest = group.resolve_command(group.make_context(NODE, [*words], resilient_parsing=True), [*words])
    with found.make_context(command, rest) as context:
        assert context.args == []


def test_the_settings_are_sound(prepared: Path) -> None:
    """The file that a site starts from is read as it stands, and every variable of a service is one of the settings."""
    settings = Settings(**tomllib.loads((prepared / "site" / "config.toml").read_text()))
    for service in OURS.values():
        names = {name.removeprefix("CRLM_NODE_").lower() for name in service["environment"]}
        assert names <= set(Settings.model_fields)
        mounted = [one["target"] for one in service["volumes"]]
        assert mounted == ["/etc/crlm-node/config.toml", str(settings.home)]
        secrets = {f"/run/secrets/{name}" for name in service["secrets"]}
        assert {str(settings.ledger_password_file), str(settings.broker_password_file)} == secrets
    networks = SERVICES["listen"]["networks"]
    assert SERVICES["orthanc"]["environment"]["CRLM_HOST"] in networks["inner"]["aliases"]
    assert [str(host) for host in settings.calling[0].hosts] == [
        SERVICES["orthanc"]["networks"]["inner"]["ipv4_address"]
    ]
    assert str(settings.port) == SERVICES["listen"]["ports"][0].rpartition(":")[2]
    assert settings.broker_url.startswith("redis://redis:")
    assert "@postgres/" in settings.ledger_url


def test_segments_are_cut_by_one_worker_or_the_other() -> None:
    """With a GPU or without, each queue has its worker; the steward must know which device it is."""
    queues = {name: set(one["command"][2::2]) for name, one in OURS.items() if one["command"][0] == "worker"}
    assert queues["worker-gpu"] == queues["worker-segment"] == {"segment"}
    assert {"measure", "deliver"} <= queues["worker-cpu"]
    assert SERVICES["worker-gpu"]["profiles"] != SERVICES["worker-segment"]["profiles"]
    assert {one["environment"]["CRLM_NODE_DEVICE"] for one in OURS.values()} == {"gpu"}


def test_the_broker_starts_with_its_password(tmp_path: Path, program: Any, free_port: Any) -> None:
    """The script of the compose file, with a real Redis: who has no password is not answered, and nothing is kept."""
    import redis

    server = Path(program("redis-server"))
    program("redis-cli")
    (tmp_path / "password").write_text("by-chance\n")
    port = free_port()
    env = {"PATH": f"{server.parent}:/usr/bin:/bin", "BROKER_PASSWORD_FILE": str(tmp_path / "password")}
    words = ["sh", str(DEPLOY / "containers" / "redis.sh")]
    process = subprocess.Popen(words, env=env | {"BROKER_PORT": str(port)}, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            asked = subprocess.run([*words, "answers"], env=env | {"BROKER_PORT": str(port)}, capture_output=True)
            if asked.returncode == 0:
                break
            time.sleep(0.05)
        assert asked.returncode == 0, asked.stderr
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port).ping()
        url = Settings(broker_url=f"redis://127.0.0.1:{port}/0", broker_password_file=tmp_path / "password").broker
        with redis.Redis.from_url(url) as known:
            assert known.config_get("save") == {"save": ""}
        assert b"by-chance" not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
    finally:
        process.kill()
        process.wait()
