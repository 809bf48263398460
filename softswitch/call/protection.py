"""SRTP as the trunk of a leg wants it: fresh keys for each leg, and what is said where there can be none.

RFC 4568. Called by the story and by `dial.py` when a leg begins. Keys of one leg are never used on the other.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import structlog

from softswitch.call.leg import Leg
from softswitch.interfaces import MediaDriver
from softswitch.sdp.crypto import Protection, fresh

log = structlog.get_logger(__name__)


def protect(leg: Leg, setting: str, suites: Sequence[str], media: MediaDriver, *, trunk: str) -> None:
    """Give `leg` what its trunk's `srtp` and `srtp_suites` say, as far as the media server has it."""
    if setting == "off":
        return
    usable = [suite for suite in suites if suite in media.srtp]
    leg.protection = Protection(plain=setting != "required", ours=fresh(usable, secrets.token_bytes))
    if leg.protection.impossible:
        log.error("srtp_unavailable", call_id=leg.call_id, trunk=trunk, suites=list(suites), media=list(media.srtp))
