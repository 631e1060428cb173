"""Settings from flags, the environment and `.env`, validated once at start.

An invalid setting raises `SettingsError`, whose text is one line that says what to change.
"""

import base64
import binascii
import os
import re
import secrets
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.matching.host import host_of_url
from app.policy.sentences import sentence

Network = IPv4Network | IPv6Network
ForwardedHeader = Literal["x-forwarded-for", "forwarded"]
Role = Literal["api", "work", "dispatch"]
Origin = Literal["default", "environment", ".env", "flag"]
PREFIX = "BATON_"
IS_CHECKOUT = Path(__file__).parents[1].joinpath("pyproject.toml").exists()  # else installed from a wheel
PROGRAM = "python3 -m app" if IS_CHECKOUT else "baton"  # what users type, for messages
BOOTSTRAP = "BATON_VENV"  # read by app/__main__.py, before there are settings
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client, when it is imported
EVERY_ROLE: tuple[Role, ...] = ("api", "work", "dispatch")
HOUR = 3600.0
MAX_KID = 64
KEY_FILE = "secret_keys"


class CannotStart(Exception):
    """A start or a command failed for a reason the operator can fix; the text is one line that says how."""


class SettingsError(CannotStart):
    """A setting is invalid; the text is one line that says what to change."""


def _split(value: object) -> object:
    """'a, b' becomes ['a', 'b']; anything that is not text is left as it is."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _network(value: object) -> object:
    return ip_network(value) if isinstance(value, str) else value


def decode_keys(value: object) -> object:
    """`kid:base64,…` becomes {kid: 32 bytes}; the first key encrypts, every key decrypts."""
    if not isinstance(value, str):
        return value
    keys: dict[str, bytes] = {}
    for part in value.split(","):
        kid, colon, encoded = part.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not colon or not kid.isalnum() or len(kid) > MAX_KID or len(key) != 32 or kid in keys:
            raise ValueError("write kid:base64 of 32 bytes, several separated by commas, each kid once")
        keys[kid] = key
    return keys


def _postgresql(url: str) -> str:
    """Any common form of a PostgreSQL URL, rewritten for SQLAlchemy and asyncpg."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgres", "postgresql", "postgresql+asyncpg"):
        raise ValueError("write postgresql://user:password@host:5432/database (only PostgreSQL is supported)")
    return "postgresql+asyncpg://" + rest.replace("sslmode=", "ssl=")


def _strong_key(key: SecretStr) -> SecretStr:
    text = key.get_secret_value()
    if len(text) < 32 or not all(33 <= ord(letter) <= 126 for letter in text):
        raise ValueError("use at least 32 visible ASCII characters")
    return key


def _retry_delays(delays: tuple[float, ...]) -> tuple[float, ...]:
    if not 1 <= len(delays) <= 20 or min(delays) < 0:
        raise ValueError("write 1 to 20 numbers of seconds, none below 0, separated by commas")
    return delays


def _base_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("write an address that starts with http:// or https://")
    parts = urlsplit(url)
    if parts.query or parts.fragment or host_of_url(url) is None:
        raise ValueError(
            "write an address whose host is a name or an IP address, without ? and #, such as https://baton.example"
        )
    return url.rstrip("/")


def host_in_url(host: str) -> str:
    """The host as it stands in a URL: loopback for a server that listens on all interfaces, IPv6 in brackets."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return "127.0.0.1" if address.is_unspecified else host
    return "[::1]" if address.is_unspecified else f"[{host}]"


def _host_and_port(address: str) -> str:
    found = re.fullmatch(r"(?:[^:\s\[\]]+|\[[0-9a-fA-F:.]+\]):([0-9]{1,5})", address)
    if found is None or not 1 <= int(found[1]) <= 65535:
        raise ValueError("write host:port, like 127.0.0.1:9100 or [::1]:9100")
    return address


CommaSeparated = BeforeValidator(_split)


class Settings(BaseSettings):
    """Every setting. Its environment variable is BATON_ and the name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    env: Literal["production", "test"] = "production"
    database_url: Annotated[str, AfterValidator(_postgresql)] | None = Field(default=None, repr=False)
    data_dir: Path = Path(".baton")
    pooler: Literal["transaction"] | None = None
    listen_url: Annotated[str, AfterValidator(_postgresql)] | None = Field(default=None, repr=False)
    pg_bindir: Path | None = None
    admin_key: Annotated[SecretStr, AfterValidator(_strong_key)] | None = None
    secret_keys: Annotated[dict[str, bytes], NoDecode, BeforeValidator(decode_keys)] = Field(
        default_factory=dict, repr=False
    )
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    public_url: Annotated[str, AfterValidator(_base_url)] | None = None
    roles: Annotated[tuple[Role, ...], NoDecode, CommaSeparated] = Field(default=EVERY_ROLE, min_length=1)
    workers: int = Field(default=1, ge=1, le=64)
    pool_size: int = Field(default=10, ge=2, le=200)
    max_in_flight: int = Field(default=64, ge=1, le=10_000)
    max_ingest_in_flight: int = Field(default=32, ge=1, le=10_000)
    allowed_targets: Annotated[tuple[Annotated[Network, BeforeValidator(_network)], ...], NoDecode, CommaSeparated] = ()
    allowed_ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], NoDecode, CommaSeparated] = (443, 8443)
    retry_schedule: Annotated[tuple[float, ...], NoDecode, CommaSeparated, AfterValidator(_retry_delays)] = (
        *(0.0, 5.0, 300.0, 1800.0),
        *(hours * HOUR for hours in (2, 5, 10, 14, 20, 24)),
    )
    event_days: int = Field(default=30, ge=1, le=400)
    attempt_days: int = Field(default=14, ge=1, le=400)
    test_clock: Path | None = None
    trusted_proxies: Annotated[tuple[Annotated[Network, BeforeValidator(_network)], ...], NoDecode, CommaSeparated] = ()
    forwarded_header: Annotated[ForwardedHeader, BeforeValidator(_lower)] = "x-forwarded-for"
    drain_seconds: float = Field(default=5.0, ge=0, le=300)
    console: bool = True
    metrics_listen: Annotated[str, AfterValidator(_host_and_port)] | None = None
    log_format: Literal["auto", "console", "json"] = "auto"
    _flags: frozenset[str] = PrivateAttr(default=frozenset())
    _cluster: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _clock_is_for_tests(self) -> Self:
        if self.test_clock is not None and self.env != "test":
            raise ValueError("BATON_TEST_CLOCK shifts the clock: remove it, or set BATON_ENV=test on a test system")
        return self

    @model_validator(mode="after")
    def _pooler_has_an_address(self) -> Self:
        if self.pooler is not None and self.database_url is None:
            raise ValueError("BATON_POOLER is for a pooler at BATON_DATABASE_URL: set that too, or remove BATON_POOLER")
        return self

    @property
    def embedded(self) -> bool:
        """True where `database_url` is not set: the service then runs its own PostgreSQL in `data_dir`."""
        return self.database_url is None

    @property
    def cluster(self) -> Path | None:
        """The folder of the embedded PostgreSQL while it runs."""
        return self._cluster

    @property
    def url(self) -> str:
        """The database URL, and whether a pooler is there; of an embedded server `server.running_database` sets it."""
        assert self.database_url is not None
        if self.pooler is None:
            return self.database_url
        return f"{self.database_url}{'&' if '?' in self.database_url else '?'}pooler={self.pooler}"

    @property
    def session_url(self) -> str | None:
        """The URL of PostgreSQL itself, for LISTEN and migrations; None where only that of a pooler is known."""
        return self.listen_url or (self.url if self.pooler is None else None)

    @property
    def address(self) -> str:
        """The base URL of the service as clients and providers reach it, without a trailing slash."""
        return self.public_url or f"http://{host_in_url(self.host)}:{self.port}"

    @property
    def prefix(self) -> str:
        """The path of `public_url`, which the proxy in front removes; links that we make begin with it."""
        return urlsplit(self.public_url).path if self.public_url else ""


def load(**flags: Any) -> Settings:
    """The settings of this process. Flags (None = not given) override the environment, which overrides `.env`.

    Raises SettingsError.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise SettingsError(_one_line(error, given)) from None
    settings._flags = frozenset(given)
    _check_metrics_folder()
    return settings


def without_pooler(settings: Settings) -> str:
    """The URL of PostgreSQL itself. Raises SettingsError where only a pooler is known."""
    if settings.session_url is None:
        raise SettingsError(
            "migrations need a session: set BATON_LISTEN_URL to the address of PostgreSQL behind the pooler"
        )
    return settings.session_url


def _check_metrics_folder() -> None:
    folder = os.environ.get(METRICS_FOLDER)
    if folder is not None and not (Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise SettingsError(
            f"{METRICS_FOLDER}={folder} is no folder that Baton can write to: create it, or remove the variable, which"
            " Baton does not need"
        )


def with_secrets(settings: Settings, *, generate: bool = True) -> Settings:
    """The same settings with `secret_keys`; with an embedded server they are generated once, in the data directory.

    generate: False where something may be encrypted already, so that a new key would be the wrong one; without a key
    file there are then no keys. Raises SettingsError if `database_url` is set without `secret_keys`, or if the data
    directory or the key file cannot be used.
    """
    if settings.secret_keys:
        return settings
    if not settings.embedded:
        raise SettingsError(
            f"BATON_SECRET_KEYS is required with BATON_DATABASE_URL: set it, for example to {_new_key()},"
            " and keep it safe"
        )
    path = settings.data_dir / KEY_FILE
    if not generate and not path.exists():
        return settings
    try:
        keys = decode_keys(_stored_keys(path))
    except ValueError as error:
        raise SettingsError(f"{path} cannot be used: {error}, or put the file of a backup in its place") from None
    return settings.model_copy(update={"secret_keys": keys})


def encode_keys(keys: dict[str, bytes]) -> str:
    """The text that `decode_keys` reads."""
    return ",".join(f"{kid}:{base64.b64encode(key).decode()}" for kid, key in keys.items())


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, and flush it to the disk."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def origins(settings: Settings) -> dict[str, Origin]:
    """The origin of each setting, by its name."""
    in_environment = {name.upper() for name, value in os.environ.items() if value}

    def origin(name: str) -> Origin:
        if name in settings._flags:
            return "flag"
        if name not in settings.model_fields_set:
            return "default"
        return "environment" if (PREFIX + name).upper() in in_environment else ".env"

    return {name: origin(name) for name in Settings.model_fields}


def unknown() -> list[str]:
    """Variables that start with BATON_ and match no setting: most likely misspelt."""
    known = {(PREFIX + name).upper() for name in Settings.model_fields} | {BOOTSTRAP}
    return sorted(
        name for name in {**_env_file(), **os.environ} if name.upper().startswith(PREFIX) and name.upper() not in known
    )


def _env_file() -> dict[str, str | None]:
    return dotenv_values(".env") if Path(".env").is_file() else {}


def _one_line(error: ValidationError, flags: dict[str, Any]) -> str:
    messages: dict[str, str] = {}
    for fault in error.errors(include_url=False):
        reason = sentence(fault)
        name = str(fault["loc"][0]) if fault["loc"] else ""
        variable = "--" + name.replace("_", "-") if name in flags else (PREFIX + name).upper()
        messages.setdefault(name, f"{variable} cannot be used: {reason[0].lower()}{reason[1:]}" if name else reason)
    return "; ".join(messages.values())


def _stored_keys(path: Path) -> str:
    """The text of the key file. The first call creates it; of several processes at once, one creates it for all."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".secret_keys.{os.getpid()}")
            write_private(temporary, _new_key())
            with suppress(FileExistsError):  # another process was first: use its key
                os.link(temporary, path)
            temporary.unlink()
        return path.read_text().strip()
    except OSError as error:
        raise SettingsError(f"{path.parent} cannot be used ({error.strerror}): choose another --data-dir") from None


def _new_key() -> str:
    """A random key with a random id, so that two generated keys never have the same id."""
    return encode_keys({f"k{secrets.token_hex(4)}": secrets.token_bytes(32)})
