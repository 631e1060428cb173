"""Invalid settings are refused with one line that says what to change."""

import base64
from pathlib import Path

import pytest

from app.settings import SettingsError, decode_keys, encode_keys, load, origins, unknown, with_secrets

KEY = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("POOL_SIZE", "many", "BATON_POOL_SIZE"),
        ("PORT", "99999", "BATON_PORT"),
        ("ADMIN_KEY", "short", "at least 32 visible ASCII characters"),
        ("ADMIN_KEY", "a key with blanks in it, which no header takes", "visible"),
        ("DATABASE_URL", "mysql://host/db", "only PostgreSQL"),
        ("SECRET_KEYS", "k1:c2hvcnQ=", "32 bytes"),
        ("SECRET_KEYS", f"k1:{KEY},k1:{KEY}", "each kid once"),
        ("SECRET_KEYS", f"{'k' * 65}:{KEY}", "each kid once"),
        ("ALLOWED_TARGETS", "127.0.0.1/8", "host bits"),
        ("ALLOWED_PORTS", "443,https", "BATON_ALLOWED_PORTS"),
        ("RETRY_SCHEDULE", "0,-5", "none below 0"),
        ("ROLES", "api,cook", "'dispatch'"),
        ("PUBLIC_URL", "example.com", "http://"),
        ("METRICS_LISTEN", "9100", "host:port, like"),
        ("METRICS_LISTEN", "localhost:65536", "host:port, like"),
        ("METRICS_LISTEN", "localhost:0", "host:port, like"),
        ("METRICS_LISTEN", "::1:9100", "[::1]:9100"),
        ("LOG_FORMAT", "xml", "'json'"),
    ],
)
def test_an_invalid_setting_is_refused_in_one_line(
    name: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"BATON_{name}", value)
    with pytest.raises(SettingsError) as refused:
        load()
    text = str(refused.value)
    assert expected in text
    assert f"BATON_{name}" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "0.0.0.0:65535", "localhost:9100", "[::1]:9100", "[2001:db8::A]:80"]
)
def test_metrics_are_served_on_any_host_and_port(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_METRICS_LISTEN", address)
    assert load().metrics_listen == address


def test_a_refusal_never_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_ADMIN_KEY", "hunter2")
    monkeypatch.setenv("BATON_DATABASE_URL", "mysql://me:hunter2@host/db")
    with pytest.raises(SettingsError) as refused:
        load()
    assert "hunter2" not in str(refused.value)


def test_the_test_clock_is_refused_in_production(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BATON_TEST_CLOCK", str(tmp_path / "clock"))
    with pytest.raises(SettingsError, match="BATON_ENV=test"):
        load()
    monkeypatch.setenv("BATON_ENV", "test")
    assert load().test_clock == tmp_path / "clock"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_every_url_scheme_of_postgresql_is_accepted(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_DATABASE_URL", f"{scheme}://u:p@h:5432/d?sslmode=require")
    assert load().database_url == "postgresql+asyncpg://u:p@h:5432/d?ssl=require"
    assert not load().embedded


def test_flags_override_the_environment_and_each_origin_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_PORT", "8001")
    monkeypatch.setenv("BATON_POOL_SIZE", "5")
    settings = load(port=8002, host=None)
    assert (settings.port, settings.pool_size, settings.host) == (8002, 5, "127.0.0.1")
    assert {name: origins(settings)[name] for name in ("port", "pool_size", "host")} == {
        "port": "flag",
        "pool_size": "environment",
        "host": "default",
    }


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_DATABASE_URL", "")
    assert load().embedded


def test_a_misspelt_setting_is_reported_as_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_POOLSIZE", "5")
    assert "BATON_POOLSIZE" in unknown()


def test_secret_keys_are_generated_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    first = with_secrets(load(data_dir=tmp_path / "data"))
    assert with_secrets(load(data_dir=tmp_path / "data")).secret_keys == first.secret_keys
    assert [len(key) for key in first.secret_keys.values()] == [32]
    assert (tmp_path / "data" / "secret_keys").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["secret_keys"]
    assert repr(first.secret_keys) not in repr(first)


def test_no_key_is_made_where_something_may_be_encrypted_already(tmp_path: Path) -> None:
    assert with_secrets(load(data_dir=tmp_path / "data"), generate=False).secret_keys == {}
    assert not (tmp_path / "data").exists()
    made = with_secrets(load(data_dir=tmp_path / "data"))
    assert with_secrets(load(data_dir=tmp_path / "data"), generate=False).secret_keys == made.secret_keys


def test_two_keys_that_were_made_never_have_the_same_id(tmp_path: Path) -> None:
    made = [with_secrets(load(data_dir=tmp_path / str(n))).secret_keys for n in range(20)]
    assert len({kid for keys in made for kid in keys}) == 20
    assert [decode_keys(encode_keys(keys)) for keys in made] == made


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"k1",
        b"k1:",
        b"k1:c2hvcnQ=",
        f"{KEY}".encode(),
        f"k1:{KEY[:-2]}".encode(),
        b"\xff\xfe\x00",
        b"k 1:" + b"A" * 43,
    ],
)
def test_a_key_file_that_is_empty_cut_off_or_foreign_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret_keys").write_bytes(content)
    for generate in (True, False):
        with pytest.raises(SettingsError, match="secret_keys cannot be used") as refused:
            with_secrets(load(data_dir=tmp_path), generate=generate)
        assert "\n" not in str(refused.value)
    assert (tmp_path / "secret_keys").read_bytes() == content


def test_a_data_directory_that_cannot_be_created_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="choose another --data-dir"):
        with_secrets(load(data_dir=tmp_path / "file" / "data"))


def test_secret_keys_are_required_with_a_database_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_DATABASE_URL", "postgresql://h/d")
    with pytest.raises(SettingsError, match="BATON_SECRET_KEYS is required") as refused:
        with_secrets(load())
    assert "\n" not in str(refused.value)
    monkeypatch.setenv("BATON_SECRET_KEYS", f"k2:{KEY},k1:{KEY}")
    assert list(with_secrets(load()).secret_keys) == ["k2", "k1"]


def test_the_repr_of_the_settings_has_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_DATABASE_URL", "postgresql://me:hunter2@h/d")
    assert "hunter2" not in repr(load())
