"""`baton serve` prints a link that logs in to the console once; several processes share its sessions."""

import re

import httpx

from tests.bootstrap.test_serve import Start, start

__all__ = ["start"]  # the fixture


def test_serve_prints_a_link_that_logs_in_once_at_each_start(start: Start) -> None:
    links = []
    for _ in range(2):
        service = start(BATON_WORKERS="2").ready()
        [link] = re.findall(rf"^{service.address}(/console/session\?link=\S+)$", service.output, re.MULTILINE)
        links.append(link)
        with httpx.Client(base_url=service.address, follow_redirects=True, trust_env=False) as browser:
            assert "Log out" in browser.get(link).text
            assert [browser.get("/console/leads").status_code for _ in range(6)] == [200] * 6
        assert [service.get(one) for one in links] == [401] * len(links)
        service.end()
    assert len(set(links)) == 2


def test_serve_prints_no_link_where_the_console_is_turned_off(start: Start) -> None:
    service = start(BATON_CONSOLE="0").ready()
    assert "/console" not in service.output
    assert service.get("/console") == 404
    service.end()
