"""One application is built at a start, and hundreds in a run of the tests: none may be kept, or the memory fills up."""

import gc
import weakref

from app.settings import Settings
from tests.api import running


async def test_an_application_that_has_stopped_is_freed(settings: Settings) -> None:
    async with running(settings) as api:
        for path in ("/", "/docs", "/openapi.json", "/metrics", "/v1/me"):
            assert (await api.call("GET", path)).status_code == 200, path
        freed = weakref.ref(api.app)
        del api
    gc.collect()
    assert freed() is None
