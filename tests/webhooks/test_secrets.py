"""Stored secrets decrypt only for the row and field they were encrypted for; a rotation always keeps a valid secret."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from app.ids import new_id
from app.keyring import SEALED_VALUE, CannotOpen, KeyRing
from app.webhooks import secrets
from app.webhooks.secrets import StoredSecret, TooManyKeys
from app.webhooks.signing import Kind, new_secret, read_key, signatures

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


def stored(kind: Kind, secret: str | None = None) -> StoredSecret:
    return secrets.stored(RING, TENANT, ROW, kind, secret or new_secret(kind), NOON)


def rotate(older: list[StoredSecret], new: StoredSecret, grace: timedelta, at: datetime = NOON) -> list[StoredSecret]:
    rotated = secrets.rotated(older, new, at, grace, [])
    assert isinstance(rotated, list)
    return rotated


def valid(keys: list[StoredSecret], now: datetime, kind: Kind = "v1") -> list[str]:
    """What the keys valid at `now` sign, which tells them apart."""
    return [signatures([key], "evt_1", 1, b"") for key, _ in secrets.opened(RING, TENANT, ROW, kind, keys, now)]


def signed(kind: Kind, secret: str) -> str:
    return signatures([read_key(kind, secret)], "evt_1", 1, b"")


@pytest.mark.parametrize("kind", ["v1", "v1a"])
@pytest.mark.parametrize("grace", [timedelta(seconds=1), timedelta(hours=24), timedelta(days=7)])
def test_both_keys_are_valid_until_the_grace_ends_and_the_new_one_comes_first(kind: Kind, grace: timedelta) -> None:
    old, new = new_secret(kind), new_secret(kind)
    keys = rotate([stored(kind, old)], stored(kind, new), grace)
    both = [signed(kind, new), signed(kind, old)]
    assert valid(keys, NOON + grace - timedelta(seconds=1), kind) == both
    assert valid(keys, NOON + grace, kind) == both[:1]


@pytest.mark.parametrize("kind", ["v1", "v1a"])
def test_with_a_grace_of_zero_the_old_key_expires_at_once(kind: Kind) -> None:
    new = new_secret(kind)
    assert valid(rotate([stored(kind)], stored(kind, new), timedelta(0)), NOON, kind) == [signed(kind, new)]


def test_another_rotation_never_extends_an_older_secret_and_may_shorten_it() -> None:
    keys = rotate([stored("v1")], stored("v1"), timedelta(hours=1))
    assert [key.expires_at for key in keys] == [None, NOON + timedelta(hours=1)]
    later = rotate(keys, stored("v1"), timedelta(days=7))
    assert [key.expires_at for key in later] == [None, NOON + timedelta(days=7), NOON + timedelta(hours=1)]
    shorter = rotate(later, stored("v1"), timedelta(minutes=1))
    assert [key.expires_at for key in shorter] == [None, *[NOON + timedelta(minutes=1)] * 3]


@pytest.mark.parametrize(("own", "others"), [(5, 0), (4, 1), (1, 4), (0, 5)])
def test_a_sixth_valid_key_is_refused_whatever_its_kind_and_the_end_of_the_first_is_told(own: int, others: int) -> None:
    ends = [NOON + timedelta(hours=n) for n in range(1, 5)]
    five = [StoredSecret("x", end) for end in (None, *ends)]
    mine, theirs = five[:own], five[own:]
    assert secrets.rotated(mine, stored("v1"), NOON, timedelta(days=1), theirs) == TooManyKeys(ends[0])
    fifth = secrets.rotated(mine, stored("v1"), NOON + timedelta(hours=1), timedelta(days=1), theirs)
    assert isinstance(fifth, list), "when the first has expired there is room for the fifth"


def test_an_expired_key_does_not_count_and_without_grace_a_key_can_always_be_replaced() -> None:
    expired = [StoredSecret("x", NOON)] * 4
    assert len(rotate([stored("v1"), *expired], stored("v1"), timedelta(days=1))) == 2
    valid_keys = [stored("v1"), *[StoredSecret("x", NOON + timedelta(days=1))] * 4]
    assert len(rotate(valid_keys, stored("v1"), timedelta(0))) == 1


def test_what_is_stored_is_read_back_and_keys_of_before_the_upgrade_are_read() -> None:
    keys = rotate([stored("v1a")], stored("v1a"), timedelta(days=7))
    assert secrets.read_secrets(secrets.secrets_json(keys)) == keys
    assert all(key.public_key and key.public_key.startswith("whpk_") for key in keys)
    assert secrets.read_secrets(None) == []
    before = '[{"sealed":"a","expires_at":null},{"sealed":"b","expires_at":"2026-03-02T12:00:00Z"}]'
    assert secrets.read_secrets(before) == [StoredSecret("a"), StoredSecret("b", NOON)]
    assert "public_key" not in secrets.secrets_json([StoredSecret("a")])
