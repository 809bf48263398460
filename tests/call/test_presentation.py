"""How X and the callee are named to each trunk (RFC 3323, RFC 3325), and that nobody else ever is."""

from __future__ import annotations

from typing import Any

import pytest

from softswitch.call.presentation import ANONYMOUS, Presentation, present
from softswitch.interfaces import Target

X, B = "+8617000000001", "+8613900000002"


def shown(*, withheld: bool = False, **options: Any) -> Presentation:
    target = Target("t", options.pop("host", "10.0.0.21"), options.pop("port", 5060), B, X, **options)
    return present(target, "10.0.0.1", withheld=withheld)


def test_x_calls_and_is_asserted_and_the_callee_is_dialled() -> None:
    seen = shown()
    assert seen.request_uri == f"sip:{B}@10.0.0.21"
    assert (seen.from_, seen.to) == (f"<sip:{X}@10.0.0.1>", f"<sip:{B}@10.0.0.21>")
    assert seen.headers == (("P-Asserted-Identity", f"<sip:{X}@10.0.0.1>"),)


def test_a_port_stands_in_the_request_uri_alone_and_ipv6_in_brackets() -> None:
    seen = shown(host="2001:db8::1", port=5070)
    assert (seen.request_uri, seen.to) == (f"sip:{B}@[2001:db8::1]:5070", f"<sip:{B}@[2001:db8::1]>")
    assert shown(port=0).request_uri == f"sip:{B}@10.0.0.21"  # DNS tells it


def test_a_domain_stands_in_the_uris_where_calls_go_to_a_proxy_of_it() -> None:
    seen = shown(uri_host="ims.example", port=5070)
    assert (seen.request_uri, seen.to) == (f"sip:{B}@ims.example", f"<sip:{B}@ims.example>")


def test_every_number_may_be_marked_as_a_telephone() -> None:
    """RFC 3261 19.1.1."""
    seen = shown(user_phone=True)
    uris = [seen.request_uri, seen.from_, seen.to, seen.headers[0][1]]
    assert all(";user=phone" in uri for uri in uris)


def test_to_may_name_the_callee_in_another_form_than_the_request_uri() -> None:
    assert shown(to="13900000002").to == "<sip:13900000002@10.0.0.21>"


def test_from_may_be_the_account_while_the_assertion_tells_x() -> None:
    seen = shown(from_user="us 1", from_host="carrier.example", user_phone=True)
    assert seen.from_ == "<sip:us%201@carrier.example>"
    assert seen.headers == (("P-Asserted-Identity", f"<sip:{X}@carrier.example;user=phone>"),)


@pytest.mark.parametrize(
    ("identity", "names"),
    [
        ("pai", ["P-Asserted-Identity"]),
        ("rpid", ["Remote-Party-ID"]),
        ("both", ["P-Asserted-Identity", "Remote-Party-ID"]),
        ("none", []),
    ],
)
def test_a_trunk_gets_the_identity_headers_that_it_reads(identity: str, names: list[str]) -> None:
    assert [name for name, _ in shown(identity=identity).headers] == names


@pytest.mark.parametrize(
    ("privacy", "withheld", "hidden"),
    [
        ("never", True, False),
        ("caller", False, False),
        ("caller", True, True),
        ("always", False, True),
    ],
)
def test_x_is_hidden_from_the_callee_where_the_trunk_and_the_caller_want_that(
    privacy: str, withheld: bool, hidden: bool
) -> None:
    """RFC 3323 4.1.1.3, RFC 3325 9.1: the trunk is told X all the same."""
    seen = shown(privacy=privacy, withheld=withheld, identity="both", from_user="us")
    assert (seen.from_ == ANONYMOUS) == hidden
    assert (("Privacy", "id") in seen.headers) == hidden
    assert seen.headers[0][1] == f"<sip:{X}@10.0.0.1>"
    assert seen.headers[1][1].endswith("privacy=full" if hidden else "privacy=off")
