"""Keys of users of NATS; the expected values are those of the library `nkeys`."""

from __future__ import annotations

import pytest

from app.webhooks.nkeys import key_of, public_key, read_file, signature

SEED = "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y"
PUBLIC = "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"
SIGNED = "-HTq4d6DDHVNb8MsTRAZtSIa0vXA_yuZblwTA7JT5wYzmKBxJ2wpYfjHh7hcptZlidbVw_6ZLyubjm_yDk-OCQ"
OTHER = (
    "SUAP777777777777777777777777777777777777777777777777775UUA",
    "UB3KCWJAISTOJ5IREZN4U45GATMQWBJJ2HPWAK7DBIM2SJLWMDI7LRYD",
    "IpueODB8vb1E9WenLb5IHOuNS6UswdTDXhT1CeGPYFEgIHIqyr8it1lF_ZSwLzldYc2zm_fEo1EIJj0kZnd6Cg",
)
FILE = f"""-----BEGIN NATS USER JWT-----
head.claims-_9.sig
------END NATS USER JWT------

************************* IMPORTANT *************************

-----BEGIN USER NKEY SEED-----
{SEED}
------END USER NKEY SEED------
"""


@pytest.mark.parametrize(("seed", "public", "signed"), [(SEED, PUBLIC, SIGNED), OTHER])
def test_a_seed_gives_the_key_that_the_server_knows_and_its_signature(seed: str, public: str, signed: str) -> None:
    key = key_of(seed)
    assert public_key(key) == public
    assert signature(key, "nonce") == signed


@pytest.mark.parametrize(
    "seed",
    [
        "",
        "SU",
        "x",
        "ä",
        SEED.lower(),
        SEED[:-1],
        SEED + "A",
        SEED[:-1] + "A",
        SEED.replace("7", "6", 1),
        PUBLIC,
        "SAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAHT5A",
    ],
)
def test_any_other_text_is_no_seed_of_a_user(seed: str) -> None:
    with pytest.raises(ValueError, match="a seed"):
        key_of(seed)


def test_a_credentials_file_has_a_token_and_a_seed() -> None:
    assert read_file(FILE) == ("head.claims-_9.sig", SEED)
    assert read_file(FILE.replace("\n", "\r\n")) == ("head.claims-_9.sig", SEED)


@pytest.mark.parametrize("missing", ["BEGIN NATS USER JWT", "BEGIN USER NKEY SEED", "head.claims-_9.sig", SEED])
def test_a_file_without_one_of_them_is_refused(missing: str) -> None:
    with pytest.raises(ValueError, match="a credentials file"):
        read_file(FILE.replace(missing, ""))
