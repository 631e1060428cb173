"""Signatures verify with the Standard Webhooks library and equal its example."""

import base64
import os
from datetime import UTC, datetime

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app.webhooks.signing import Kind, key_of, new_secret, private_key_of, public_key, read_key, signatures

# The example secret of the Standard Webhooks reference libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'


def test_the_signature_equals_the_example_of_standard_webhooks() -> None:
    golden = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signatures([key_of(SECRET)], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY) == golden


@pytest.mark.parametrize("mine", [0, 1])
def test_during_rotation_both_secrets_verify(mine: int) -> None:
    secrets = [new_secret(), new_secret()]
    now = int(datetime.now(UTC).timestamp())
    value = signatures([key_of(secret) for secret in secrets], "evt_1", now, BODY)
    headers = {"webhook-id": "evt_1", "webhook-timestamp": str(now), "webhook-signature": value}
    assert Webhook(secrets[mine]).verify(BODY, headers) == {"test": 2432232314}
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers)


def test_a_new_secret_has_32_random_bytes() -> None:
    one, two = new_secret(), new_secret()
    assert one != two
    assert len(key_of(one)) == len(key_of(two)) == 32


@pytest.mark.parametrize("size", [23, 65])
def test_a_secret_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="24 to 64 bytes"):
        key_of("whsec_" + base64.b64encode(b"x" * size).decode())


@pytest.mark.parametrize("text", ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not base64!"])
def test_a_text_that_is_not_a_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a signing secret"):
        key_of(text)


# --- ed25519

# The example of the reference libraries: a private key of 64 bytes, its public key, and the signature of BODY.
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
SIGNATURE = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="

# Two keys of RFC 8032, section 7.1 (tests 1 and 2): private and public, in hexadecimal.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ),
]


def shown(prefix: str, raw: bytes) -> str:
    return prefix + base64.b64encode(raw).decode()


def verify(public: str, signature: str, signed: bytes) -> None:
    """Raises InvalidSignature unless the value is one `v1a` signature of the key."""
    version, _, value = signature.partition(",")
    assert version == "v1a"
    raw = base64.b64decode(public.removeprefix("whpk_"))
    Ed25519PublicKey.from_public_bytes(raw).verify(base64.b64decode(value), signed)


@pytest.mark.parametrize(("private", "public"), RFC_8032)
@pytest.mark.parametrize("with_public", [False, True])
def test_the_public_key_is_that_of_rfc_8032(private: str, public: str, with_public: bool) -> None:
    raw = bytes.fromhex(private + (public if with_public else ""))
    assert public_key(private_key_of(shown("whsk_", raw))) == shown("whpk_", bytes.fromhex(public))


def test_the_ed25519_signature_equals_the_example_of_standard_webhooks() -> None:
    key = private_key_of(PRIVATE)
    assert public_key(key) == PUBLIC
    assert signatures([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY) == SIGNATURE


def test_an_ed25519_signature_verifies_over_id_timestamp_and_body_only() -> None:
    key = private_key_of(new_secret("v1a"))
    signature = signatures([key], "evt_1", 1614265330, BODY)
    verify(public_key(key), signature, b"evt_1.1614265330." + BODY)
    for other in (b"evt_2.1614265330." + BODY, b"evt_1.1614265331." + BODY, b"evt_1.1614265330." + BODY + b" "):
        with pytest.raises(InvalidSignature):
            verify(public_key(key), signature, other)
    with pytest.raises(InvalidSignature):
        verify(public_key(private_key_of(new_secret("v1a"))), signature, b"evt_1.1614265330." + BODY)


def test_v1_and_v1a_stand_side_by_side_and_libraries_that_know_v1_alone_verify() -> None:
    secret, private = new_secret(), new_secret("v1a")
    now = int(datetime.now(UTC).timestamp())
    value = signatures([key_of(secret), private_key_of(private)], "evt_1", now, BODY)
    assert [one.partition(",")[0] for one in value.split(" ")] == ["v1", "v1a"]
    for order in (value, " ".join(reversed(value.split(" ")))):
        headers = {"webhook-id": "evt_1", "webhook-timestamp": str(now), "webhook-signature": order}
        assert Webhook(secret).verify(BODY, headers) == {"test": 2432232314}
    verify(public_key(private_key_of(private)), value.split(" ")[1], b"evt_1.%d.%b" % (now, BODY))


@pytest.mark.parametrize("size", [0, 31, 33, 63, 65])
def test_an_ed25519_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes, or 64"):
        private_key_of(shown("whsk_", os.urandom(size)))


def test_an_ed25519_key_with_the_public_key_of_another_is_refused() -> None:
    with pytest.raises(ValueError, match="these are of another"):
        private_key_of(shown("whsk_", bytes.fromhex(RFC_8032[0][0] + RFC_8032[1][1])))


@pytest.mark.parametrize(
    ("kind", "secret", "sentence"),
    [
        ("v1", PRIVATE, "starts with whsec_"),
        ("v1a", SECRET, "starts with whsk_"),
        ("v1a", "whpk_" + "A" * 44, "starts with whsk_"),
        ("v1a", "whsk_not base64!", "is base64 after whsk_"),
        ("v1a", "whsk_é", "is base64 after whsk_"),
    ],
)
def test_a_key_of_another_kind_or_form_is_refused(kind: Kind, secret: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_key(kind, secret)
