"""Certificates are always verified, and a handshake that hangs times out."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.webhooks.receivers import LOOPBACK, SHORT_CONNECT, Connection, always, egress, names, receiver
from tests.webhooks.test_egress import BODY, HEADERS, OK

TODAY = datetime.now(UTC)


def certificate(folder: Path, name: str, ends: datetime) -> tuple[Path, Path]:
    """A self-signed certificate for `name`: the paths of the certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(TODAY - timedelta(days=9))
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    crt, pem = folder / f"{name}.crt", folder / f"{name}.pem"
    crt.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return crt, pem


def server_context(crt: Path, pem: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, pem)
    return context


@pytest.mark.parametrize(
    ("name", "days", "trusted", "expected"),
    [
        ("hook.test", 9, True, None),
        ("hook.test", 9, False, "tls_certificate"),
        ("other.test", 9, True, "tls_certificate"),
        ("hook.test", -1, True, "tls_certificate"),
    ],
)
async def test_only_a_valid_certificate_for_the_name_from_a_trusted_issuer_is_accepted(
    tmp_path: Path, name: str, days: int, trusted: bool, expected: str | None
) -> None:
    crt, pem = certificate(tmp_path, name, TODAY + timedelta(days=days))
    trust = ssl.create_default_context(cafile=str(crt) if trusted else None)
    async with (
        receiver(always(OK), server_context(crt, pem)) as server,
        egress(LOOPBACK, lookup=names(hook_test="127.0.0.1"), tls=trust) as client,
    ):
        outcome = await client.post(f"https://hook.test:{server.port}/", HEADERS, BODY)
    assert outcome.error == expected
    assert outcome.delivered == (expected is None)


async def test_a_receiver_without_tls_is_a_handshake_failure() -> None:
    async def plain(connection: Connection) -> None:
        await connection.answer(b"220 mail ready\r\n")
        await connection.reader.read()

    async with receiver(plain) as server, egress(lookup=names(hook_test="127.0.0.1")) as client:
        outcome = await client.post(f"https://hook.test:{server.port}/", HEADERS, BODY)
    assert (outcome.code, outcome.error) == (None, "tls_handshake")


async def test_a_receiver_with_only_old_tls_is_a_handshake_failure(tmp_path: Path) -> None:
    crt, pem = certificate(tmp_path, "hook.test", TODAY + timedelta(days=9))
    old = server_context(crt, pem)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1
    trust = ssl.create_default_context(cafile=str(crt))
    async with receiver(always(OK), old) as server, egress(lookup=names(hook_test="127.0.0.1"), tls=trust) as client:
        outcome = await client.post(f"https://hook.test:{server.port}/", HEADERS, BODY)
    assert (outcome.code, outcome.error) == (None, "tls_handshake")


async def test_a_handshake_that_hangs_times_out_at_the_connect_deadline() -> None:
    async with (
        receiver(Connection.hang) as server,
        egress(limits=SHORT_CONNECT, lookup=names(hook_test="127.0.0.1")) as client,
    ):
        outcome = await client.post(f"https://hook.test:{server.port}/", HEADERS, BODY)
    assert (outcome.code, outcome.error) == (None, "connect_timeout")
