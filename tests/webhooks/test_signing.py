"""Signatures verify with the Standard Webhooks library and equal its example."""

import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app.webhooks.signing import key_of, new_secret, signatures

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
