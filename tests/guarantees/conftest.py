"""The fixture of the tests of webhooks."""

from tests.webhooks.conftest import world as world
