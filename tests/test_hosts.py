"""What can be a host; tests/routing/test_fields.py has more of what people write."""

from __future__ import annotations

import pytest

from softswitch.hosts import is_host


@pytest.mark.parametrize("host", ["homer", "homer.example", "192.0.2.1", "2001:db8::1", "3cx"])
def test_names_and_addresses_are_hosts(host: str) -> None:
    assert is_host(host)


@pytest.mark.parametrize("host", ["", "homer..example", "192.0.2.256", "fe80::1%eth0", "homer:9060", "[::1]", "a b"])
def test_what_no_resolver_can_know_is_none(host: str) -> None:
    assert not is_host(host)
