"""Stored secrets decrypt only for the row and field they were encrypted for; a rotation always keeps a valid secret."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from app.ids import new_id
from app.keyring import SEALED_VALUE, CannotOpen, KeyRing
from app.webhooks import secrets
from app.webhooks.secrets import StoredSecret
from app.webhooks.signing import key_of, new_secret

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TENANT, OTHER_TENANT, ROW, OTHER_ROW = (new_id() for _ in range(4))
OLD = KeyRing({"k1": b"1" * 32})
RING = KeyRing({"k2": b"2" * 32, "k1": b"1" * 32})


def test_an_encrypted_secret_can_be_decrypted_and_does_not_contain_the_plain_text() -> None:
    sealed = RING.seal(TENANT, ROW, "secret", "whsec_plain")
    assert sealed.startswith("v1.k2.")
    assert "plain" not in sealed
    assert RING.open(TENANT, ROW, "secret", sealed) == "whsec_plain"
    assert sealed != RING.seal(TENANT, ROW, "secret", "whsec_plain"), "a nonce is never used twice"


@pytest.mark.parametrize(
    ("tenant", "row", "name"),
    list(product((TENANT, OTHER_TENANT), (ROW, OTHER_ROW), ("secret", "headers")))[1:],
)
def test_a_ciphertext_moved_to_another_row_or_field_does_not_decrypt(tenant, row, name) -> None:  # type: ignore[no-untyped-def]
    sealed = RING.seal(TENANT, ROW, "secret", "whsec_plain")
    with pytest.raises(CannotOpen):
        RING.open(tenant, row, name, sealed)


@pytest.mark.parametrize(
    "alter",
    [
        lambda s: s[:-4] + "AAAA",
        lambda s: s[:-5],
        lambda s: "",
        lambda s: s[:8],
        lambda s: "v1.k9." + s[6:],
        lambda s: "v2" + s[2:],
    ],
)
def test_an_altered_ciphertext_does_not_decrypt(alter) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(CannotOpen):
        RING.open(TENANT, ROW, "secret", alter(RING.seal(TENANT, ROW, "secret", "whsec_plain")))


def test_older_keys_of_the_ring_still_decrypt_and_the_newest_encrypts() -> None:
    sealed = OLD.seal(TENANT, ROW, "secret", "whsec_plain")
    assert RING.open(TENANT, ROW, "secret", sealed) == "whsec_plain"
    with pytest.raises(CannotOpen):
        OLD.open(TENANT, ROW, "secret", RING.seal(TENANT, ROW, "secret", "whsec_plain"))


def test_a_text_is_sealed_anew_value_by_value_and_what_is_under_the_first_key_stays() -> None:
    old, new = OLD.seal(TENANT, ROW, "secret", "a"), RING.seal(TENANT, ROW, "secret", "b")
    text = f'[{{"sealed":"{old}","expires_at":null}},{{"sealed":"{new}","expires_at":"2026-03-02T12:00:00.123456Z"}}]'
    fresh = RING.reseal(TENANT, ROW, "secret", text)
    values = [found[0] for found in SEALED_VALUE.finditer(fresh)]
    assert fresh == text.replace(old, values[0])
    assert [RING.open(TENANT, ROW, "secret", value) for value in values] == ["a", "b"]
    assert [found[1] for found in SEALED_VALUE.finditer(fresh)] == ["k2", "k2"]
    assert RING.reseal(TENANT, ROW, "secret", fresh) == fresh


@pytest.mark.parametrize("wrong", [KeyRing({"k2": b"2" * 32}), KeyRing({"k2": b"2" * 32, "k1": b"9" * 32})])
def test_a_text_with_a_value_that_cannot_be_opened_is_not_sealed_anew_and_the_key_is_named(wrong: KeyRing) -> None:
    text = RING.seal(TENANT, ROW, "secret", "b") + " " + OLD.seal(TENANT, ROW, "secret", "a")
    with pytest.raises(CannotOpen, match="k1") as raised:
        wrong.reseal(TENANT, ROW, "secret", text)
    assert raised.value.kid == "k1"
    assert not wrong.opens(TENANT, ROW, "secret", OLD.seal(TENANT, ROW, "secret", "a"))
    assert RING.opens(TENANT, ROW, "secret", OLD.seal(TENANT, ROW, "secret", "a"))


def test_the_repr_of_a_key_ring_does_not_contain_its_keys() -> None:
    assert "222" not in repr(RING)


def sealed(secret: str) -> StoredSecret:
    return secrets.initial(RING, TENANT, ROW, secret)[0]


def valid(stored: list[StoredSecret], now: datetime) -> list[bytes]:
    return secrets.valid_keys(RING, TENANT, ROW, stored, now)


def test_both_secrets_are_valid_during_the_grace_and_the_new_one_comes_first() -> None:
    old, new = new_secret(), new_secret()
    stored = secrets.rotated([sealed(old)], sealed(new), NOON, timedelta(hours=24))
    assert valid(stored, NOON + timedelta(hours=23)) == [key_of(new), key_of(old)]
    assert valid(stored, NOON + timedelta(hours=24)) == [key_of(new)]


def test_with_a_grace_of_zero_the_old_secret_expires_at_once() -> None:
    new = new_secret()
    assert valid(secrets.rotated([sealed(new_secret())], sealed(new), NOON, timedelta(0)), NOON) == [key_of(new)]


def test_another_rotation_never_extends_an_older_secret_and_at_most_five_are_kept() -> None:
    stored = [sealed(new_secret())]
    first_end = NOON + timedelta(hours=1)
    stored = secrets.rotated(stored, sealed(new_secret()), NOON, timedelta(hours=1))
    for _ in range(8):
        stored = secrets.rotated(stored, sealed(new_secret()), NOON, timedelta(days=7))
        assert all(old.expires_at and old.expires_at <= first_end for old in stored[2:3] if len(stored) == 3)
    assert len(stored) == secrets.MAX_SECRETS
