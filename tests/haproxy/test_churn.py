"""No client notices that members come, go and change places, unless its own node goes."""

from __future__ import annotations

from tests.haproxy.churn import churn
from tests.haproxy.fakes import until
from tests.haproxy.proxies import Proxy


def test_no_session_is_lost_while_members_change(proxy: Proxy) -> None:
    result = churn(proxy, changes=40, threads=3, held=500)
    assert result.sessions > 200
    assert result.unexplained() == []
    assert result.wrongly_cut() == []
    until(proxy.settled, "the file has what runs")
    assert "reloaded" not in proxy.log()
    assert len(proxy.workers()) == 1
