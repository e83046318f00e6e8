"""Settings: one frozen object, read once when a process starts.

The file is the first of `--config`, `$CRLM_NODE_CONFIG`, `/etc/crlm-node/config.toml`; variables `CRLM_NODE_*`
(nested with `__`) stand above it. An unknown or missing key stops the start with its name.
"""

import os
import sys
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, IPvAnyAddress, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from node.core.codes import Structure
from node.core.kinds import Kind

CONFIG_VARIABLE = "CRLM_NODE_CONFIG"
SYSTEM_CONFIG = Path("/etc/crlm-node/config.toml")
_LANGUAGES = Path(__file__).parents[2] / "workers" / "report" / "words"  # a file for each; no module of it is imported

AETitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[ -\[\]-~]*[!-\[\]-~][ -\[\]-~]*$")]
Port = Annotated[int, Field(ge=1, le=65535)]
SignatureId = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]


class SettingsError(ValueError):
    """The settings cannot be used; the message names each key and says what is wrong with it."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CallingPeer(_Section):
    """Who may open an association to us."""

    ae_title: AETitle = Field(description="Its AE title.")
    hosts: tuple[IPvAnyAddress, ...] = Field((), description="IP addresses that it may come from; empty: any.")
    priority: Literal["backfill", "routine", "stat"] = Field(
        "routine",
        description="`stat`: what it sends is measured before what waits; `backfill`: after what others send.",
    )
    quiet_time_s: float | None = Field(
        None,
        gt=0,
        description="As `quiet_time_s` of the site, for studies that it has sent something of; absent: that.",
    )


class ListenerTls(_Section):
    """DICOM TLS of the listener (PS3.15 section B.9, BCP 195): its port then serves nothing else."""

    certificate: Path = Field(description="Our certificate with its chain, PEM.")
    key: Path = Field(description="Its private key, PEM, without a passphrase; readable by this user alone.")
    authorities: Path = Field(description="PEM of the authorities whose client certificates are accepted.")


class CallerTls(_Section):
    """TLS towards a destination."""

    authorities: Path = Field(description="PEM of the authorities that may have signed the destination's certificate.")
    certificate: Path | None = Field(None, description="Our client certificate with its chain, PEM.")
    key: Path | None = Field(None, description="Its private key, PEM; readable by this user alone.")


class Archive(_Section):
    """A PACS that is asked (C-FIND) and that past studies are fetched from (C-MOVE)."""

    ae_title: AETitle = Field(description="Its AE title.")
    host: str = Field(description="Its host name or address.")
    port: Port = Field(description="Its DICOM port.")
    tls: CallerTls | None = Field(None, description="TLS towards it; absent: plain DICOM.")
    counts: bool = Field(True, description="Ask it how many instances a study has, before the study is complete.")
    heights: bool = Field(False, description="Ask it for the height where a study has none: Patient's Size of others.")


class Worklist(_Section):
    """A modality worklist that is asked for the patient's height (C-FIND)."""

    ae_title: AETitle = Field(description="Its AE title.")
    host: str = Field(description="Its host name or address.")
    port: Port = Field(description="Its DICOM port.")
    tls: CallerTls | None = Field(None, description="TLS towards it; absent: plain DICOM.")


class ImportRules(_Section):
    """Whose segmentations are measured in place of a network's; nobody's by default."""

    ae_titles: tuple[AETitle, ...] = Field((), description="Calling AE titles whose SEG objects are imported.")
    manufacturers: tuple[str, ...] = Field((), description="Manufacturers whose SEG objects are imported.")
    labels: Mapping[str, Structure] = Field(
        default_factory=dict,
        description="The site's segment labels, lower case with `_`, and what they mean.",
    )


class _Destination(_Section):
    """Where results go, and which."""

    name: str = Field(pattern=r"^[a-z0-9-]+$", description="Its name in status and log.")
    objects: tuple[Kind, ...] = Field(
        (Kind.SEG, Kind.SR, Kind.SR_VIEWER), min_length=1, description="Which objects of a result go there."
    )
    substitutes: bool = Field(
        True,
        description="Where it refuses one of them, the next best goes in its place: `seg` for `seg-labelmap`, "
        "`summary` for all others.",
    )
    refusals: bool = Field(True, description="Whether the reports of studies that were refused go there too.")
    callers: tuple[AETitle, ...] = Field(
        (), description="Only results of studies of which one of these AE titles sent something; empty: of all."
    )

    def wants(self, kind: str, callers: Collection[str], *, refused: bool) -> bool:
        """Say whether an object of this kind goes there.

        Parameters
        ----------
        kind
            A `Kind`.
        callers
            AE titles of those who sent the study.
        refused
            Whether the study was refused.
        """
        sent = not self.callers or not {one.strip() for one in self.callers}.isdisjoint(callers)
        return sent and kind in self.objects and (self.refusals or not refused)


class PacsDestination(_Destination):
    """A PACS that results are stored to."""

    kind: Literal["dicom"] = Field(description="A PACS, by C-STORE.")
    ae_title: AETitle = Field(description="Its AE title.")
    host: str = Field(description="Its host name or address.")
    port: Port = Field(description="Its DICOM port.")
    tls: CallerTls | None = Field(None, description="TLS towards it; absent: plain DICOM.")
    commitment: bool = Field(
        False, description="Ask for storage commitment; to answer it has to be in `calling`, else the query proves."
    )
    commitment_wait_s: float = Field(300.0, gt=0, description="An answer that takes longer is not waited for.")
    reject_superseded: bool = Field(
        False, description="Reject a superseded result there by an IHE IOCM rejection note."
    )


class WebDestination(_Destination):
    """A DICOMweb server that results are stored to."""

    kind: Literal["dicomweb"] = Field(description="A DICOMweb server, by STOW-RS.")
    url: str = Field(pattern=r"^https?://", description="Its base URL, to which `/studies` is added.")
    user: str = Field("", description="User name; empty: none is sent.")
    password_file: Path | None = Field(None, description="File with the password.")
    token_file: Path | None = Field(None, description="File with a bearer token.")
    authorities: Path | None = Field(None, description="PEM of the authorities that may have signed its certificate.")


class FolderDestination(_Destination):
    """A folder that results are written to."""

    kind: Literal["folder"] = Field(description="A folder of this machine.")
    path: Path = Field(description="The folder; objects go to PATH/<study>/<instance>.dcm.")


Destination = Annotated[PacsDestination | WebDestination | FolderDestination, Field(discriminator="kind")]


class MeasurementSettings(_Section):
    """What changes a number: recorded in every result and part of the job key."""

    psoas: Literal["iliopsoas", "psoas_major"] = Field("iliopsoas", description="Which muscle stands for the psoas.")
    segmentation_resolution: Literal["1.5mm", "3mm"] = Field(
        "1.5mm", description="Voxels of TotalSegmentator's `total`; `3mm` is quicker, coarser, and noted in results."
    )
    nearly_complete_fraction: float = Field(
        0.15,
        ge=0,
        le=1,
        description="Largest share of a muscle's area on the lowest slice that still gives a PMVI.",
    )
    core_erosion_mm: float = Field(5.0, gt=0, description="Distance of the L1 core from the surface of the body.")
    core_slab_fraction: float = Field(0.5, gt=0, le=1, description="Central share of the body's height in the core.")
    height_in_cm: bool = Field(False, description="The site writes Patient's Size in centimetres.")
    spacing_tolerance: float = Field(0.05, gt=0, lt=0.5, description="Allowed deviation of a slice step, as a share.")
    minimum_slices: int = Field(10, ge=2, description="Fewer slices are no volume.")
    gantry_tilt: Literal["measure", "refuse"] = Field(
        "measure", description="A tilted series is measured on its own slices, or refused."
    )


class ReportSettings(_Section):
    """How results speak to a person; codes and numbers are the same in every language."""

    language: str = Field(
        "en", pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$", description="Language of the sentences in results: `en`."
    )


class WebTls(_Section):
    """TLS of the page: its port then serves nothing else."""

    certificate: Path = Field(description="Our certificate with its chain, PEM.")
    key: Path = Field(description="Its private key, PEM, without a passphrase; readable by this user alone.")


class Alerts(_Section):
    """Who is told of a study that is set aside and of a delivery that has failed; no patient data is."""

    webhook: str = Field("", pattern=r"^(https?://.*)?$", description="URL that gets each alert as JSON; empty: none.")
    webhook_token_file: Path | None = Field(None, description="File with a bearer token for it.")
    mail_host: str = Field("", description="Mail server; empty: no mail.")
    mail_port: Port = Field(25, description="Its port.")
    mail_starttls: bool = Field(False, description="Speak TLS to it, after STARTTLS.")
    mail_user: str = Field("", description="User name there; empty: none is sent.")
    mail_password_file: Path | None = Field(None, description="File with the password.")
    mail_from: str = Field("", description="Sender.")
    mail_to: tuple[str, ...] = Field((), description="Recipients.")


class Settings(BaseSettings):
    """Everything that a site sets. `crlm-node config show` prints it; docs/settings.md is generated from it."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="CRLM_NODE_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    home: Path = Field(Path("/var/lib/crlm-node"), description="Folder of the spool and of the default ledger.")
    ledger_url: str = Field("", description="SQLAlchemy URL of the ledger; empty: SQLite in `home`.")
    ledger_password_file: Path | None = Field(None, description="File with the password of the ledger's database.")
    broker_url: str = Field("redis://127.0.0.1:6379/0", description="Redis of the job queue.")
    broker_password_file: Path | None = Field(None, description="File with the password of that Redis.")
    models_dir: Path | None = Field(None, description="Folder of models and signatures; empty: the installed ones.")
    signatures: tuple[SignatureId, ...] | None = Field(
        None, description="Signatures that each study is asked a Rad score of; absent: all in `models_dir`; `[]`: none."
    )
    networks: bool = Field(True, description="Segment by networks what comes without a segmentation.")
    weights_dir: Path | None = Field(None, description="Folder of TotalSegmentator's weights; empty: in `home`.")
    device: str = Field("cpu", pattern=r"^(cpu|gpu(:\d+)?)$", description="Where networks run: `cpu`, `gpu`, `gpu:1`.")
    engine: Literal["library", "resident"] = Field(
        "library",
        description="Who runs TotalSegmentator's weights: its own entry point, or our engine that keeps them loaded.",
    )
    engine_ladder: bool = Field(
        True,
        description="With `resident`: a study that a GPU has no memory for runs in smaller tiles, then at 3 mm, then "
        "on the CPU, and results say so.",
    )
    engine_time_limit_s: float = Field(1800.0, gt=0, description="Longest segmentation of one series.")
    engine_memory_limit_mb: int = Field(16000, gt=0, description="Most memory of the segmentation process.")

    ae_title: AETitle = Field("CRLM_NODE", description="Our AE title, as SCP and as SCU.")
    host: str = Field("127.0.0.1", description="Address that the listener binds to.")
    port: Port = Field(11112, description="Port that the listener binds to.")
    calling: tuple[CallingPeer, ...] = Field((), description="Who may call us; nobody by default.")
    tls: ListenerTls | None = Field(None, description="TLS of the listener; absent: plain DICOM.")
    max_associations: int = Field(16, ge=1, description="Associations served at once.")
    association_idle_s: float = Field(60.0, gt=0, description="An association that is silent for so long is closed.")

    web_host: str = Field("127.0.0.1", description="Address that the page and the API bind to.")
    web_port: int = Field(8043, ge=0, le=65535, description="Port that they bind to; 0: `up` starts no page.")
    web_tls: WebTls | None = Field(None, description="TLS of the page; absent: plain HTTP.")
    web_address: str = Field(
        "", pattern=r"^(https?://.*)?$", description="Address of the page as others reach it, for links in alerts."
    )
    alerts: Alerts = Field(default_factory=Alerts, description="Who is told of what waits for a person.")

    spool_low_mb: int = Field(20_000, ge=0, description="Less free space than this is warned of.")
    spool_full_mb: int = Field(2_000, ge=0, description="With less free space, instances are answered A700.")
    retention_days: float = Field(14.0, gt=0, description="An input is kept so long after its result is proven.")
    quarantine_days: float = Field(90.0, gt=0, description="A quarantined study is kept at least so long.")

    quiet_time_s: float = Field(60.0, gt=0, description="A study is complete after so long without a new instance.")
    forced_completion_s: float = Field(
        3600.0, gt=0, description="A study that is not shown to be complete is processed after so long, and noted."
    )
    steward_period_s: float = Field(1.0, gt=0, description="Time between two rounds of the steward.")
    lease_s: float = Field(60.0, gt=1, description="A job whose worker is silent for so long is tried again.")
    attempts: int = Field(3, ge=1, description="So many attempts at one job, then it fails visibly.")
    retry_base_s: float = Field(15.0, gt=0, description="Wait before the second attempt; doubles with each.")
    retry_longest_s: float = Field(900.0, gt=0, description="Longest wait between two attempts.")
    delivery_days: float = Field(3.0, gt=0, description="A delivery is tried for so long, then it fails visibly.")

    imports: ImportRules = Field(default_factory=ImportRules, description="Which segmentations are imported.")
    destinations: tuple[Destination, ...] = Field((), description="Where results go.")
    archives: tuple[Archive, ...] = Field((), description="PACS that are asked about studies and patients.")
    worklist: Worklist | None = Field(None, description="Modality worklist that is asked for heights; absent: none.")
    series_rules: Path | None = Field(None, description="TOML file of the rules that rank series; empty: our own.")
    patient_facts: Path | None = Field(
        None, description="CSV or TOML file of facts that the site enters about its patients; empty: none."
    )
    measurement: MeasurementSettings = Field(default_factory=MeasurementSettings, description="What changes a number.")
    report: ReportSettings = Field(default_factory=ReportSettings, description="How results speak to a person.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")
    log_form: Literal["console", "json"] = Field("console", description="For a terminal, or for a collector.")

    @field_validator("broker_url")
    @classmethod
    def _is_a_redis(cls, value: str) -> str:
        """Require the form; what is wrong is not repeated, for it may be a password with a sign of its own."""
        try:
            parts = urlsplit(value)
            sound = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            sound = False
        if not sound:
            raise ValueError("not as redis://HOST:6379/0; a password goes into broker_password_file")
        return value

    @field_validator("destinations")
    @classmethod
    def _names_differ(cls, value: tuple[Destination, ...]) -> tuple[Destination, ...]:
        names = [destination.name for destination in value]
        if len(set(names)) != len(names):
            raise ValueError("two destinations have the same name")
        return value

    @field_validator("signatures")
    @classmethod
    def _signatures_differ(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if len(set(value or ())) != len(value or ()):
            raise ValueError("a signature is named twice")
        return value

    @field_validator("report")
    @classmethod
    def _language_is_there(cls, value: ReportSettings) -> ReportSettings:
        there = languages()
        if value.language not in there:
            raise ValueError(f"no language {value.language}; there are: {', '.join(there)}")
        return value

    @property
    def spool_dir(self) -> Path:
        """Folder of the spool."""
        return self.home / "spool"

    @property
    def weights(self) -> Path:
        """Folder of TotalSegmentator's weights."""
        return self.weights_dir or self.home / "weights"

    @property
    def models(self) -> Path:
        """Folder of models and signatures: as set, as installed beside the packages, or of a source tree."""
        installed = Path(sys.prefix) / "share" / "crlm-node" / "models"
        return self.models_dir or (installed if installed.is_dir() else Path(__file__).parents[2] / "models")

    @property
    def ledger(self) -> str:
        """URL of the ledger."""
        return self.ledger_url or f"sqlite:///{self.home / 'ledger.sqlite'}"

    @property
    def broker(self) -> str:
        """URL of the broker, with the password of its file in it: not to be printed.

        Raises
        ------
        SettingsError
            The file cannot be read.
        """
        if self.broker_password_file is None:
            return self.broker_url
        password = secret("broker_password_file", self.broker_password_file)
        parts = urlsplit(self.broker_url)
        user, _, host = parts.netloc.rpartition("@")
        name = user.partition(":")[0]
        return urlunsplit(parts._replace(netloc=f"{name}:{quote(password, safe='')}@{host}"))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read variables first, then what `load` passes from the file."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


def address_of(settings: Settings) -> str:
    """Return the address of the page, as others reach it or as this machine does."""
    host = f"[{settings.web_host}]" if ":" in settings.web_host else settings.web_host
    return settings.web_address or f"{'https' if settings.web_tls else 'http'}://{host}:{settings.web_port}"


def languages() -> tuple[str, ...]:
    """Return the languages that results can be written in: those that the report has a file of words for."""
    return tuple(sorted(path.stem for path in _LANGUAGES.glob("*.toml")))


def config_file(option: Path | None) -> Path | None:
    """Return the file to read: the option, else the variable's, else the system's where it exists."""
    if option is not None:
        return option
    if named := os.environ.get(CONFIG_VARIABLE):
        return Path(named)
    return SYSTEM_CONFIG if SYSTEM_CONFIG.exists() else None


def secret(setting: str, file: Path) -> str:
    """Read the file of a password, less the line break that editors put behind it.

    Raises
    ------
    SettingsError
        It cannot be read, or is no UTF-8; setting and file are named, what is in it never.
    """
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{setting}: {file} cannot be read: {type(error).__name__}") from error


def bearer(setting: str, file: Path) -> str:
    """Return the `Authorization` header of the token in a file; spaces around the token are none of it.

    Raises
    ------
    SettingsError
        As `secret`, or no header can hold what is in it.
    """
    token = secret(setting, file).strip()
    if not token or not token.isascii() or not token.isprintable():
        raise SettingsError(f"{setting}: {file} holds no token")
    return f"Bearer {token}"


def load(option: Path | None = None) -> Settings:
    """Read the settings once.

    Raises
    ------
    SettingsError
        The file cannot be read, or a key is unknown, missing or wrong; every such key is named.
    """
    path = config_file(option)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8")) if path else {}
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error
    _refuse_unknown_variables()
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(fault) for fault in error.errors())) from error


def _refuse_unknown_variables() -> None:
    known = {f"CRLM_NODE_{name.upper()}" for name in Settings.model_fields} | {CONFIG_VARIABLE}
    for name in sorted(os.environ):
        if name.startswith("CRLM_NODE_") and name.split("__")[0] not in known:
            raise SettingsError(f"{name}: unknown variable")


def _sentence(fault: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    what = {"extra_forbidden": "unknown key", "missing": "missing key"}.get(fault["type"], fault["msg"])
    return f"{key}: {what}"
