"""A CDR in the words of the provisioning interface: FeeInfo (6.2), as CDR files and pushes carry it.

Called by the CDR sinks and by pushes. Pure. What never came to be is left out, as in the reference's samples.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import PurePath
from typing import Any

from softswitch.interfaces import Cdr, Mode
from softswitch.moments import to_second
from softswitch.recordings import folder_of

SERVICE_TYPES = {Mode.AX: "003", Mode.AXB: "004", Mode.AXE: "005"}  # section 12


def fee_info(cdr: Cdr) -> dict[str, Any]:
    """The FeeInfo of a finished call. Times are UTC `yyyy-MM-dd HH:mm:ss`."""
    info: dict[str, Any] = {
        "direction": cdr.direction,
        "spId": "",
        "appKey": cdr.app_key,
        "icid": cdr.call_id,
        "bindNum": cdr.x,
        "sessionId": cdr.call_id,
        "subscriptionId": cdr.binding_id or None,
        "extendNum": cdr.extension or None,
        "callerNum": cdr.caller,
        "calleeNum": cdr.callee,
        "fwdDisplayNum": cdr.display or None,
        "fwdDstNum": cdr.destination or None,
        "callInTime": utc_time(cdr.call_in_at),
        "fwdStartTime": utc_time(cdr.forward_at),
        "fwdAlertingTime": utc_time(cdr.alerting_at),
        "fwdAnswerTime": utc_time(cdr.answered_at),
        "callEndTime": utc_time(cdr.ended_at),
        "failTime": utc_time(cdr.failed_at),
        # "Reason for no answer": 0 in the reference's samples of answered calls.
        "fwdUnaswRsn": 0 if cdr.answered_at is not None else cdr.b.cause or cdr.cause,
        "ulFailReason": cdr.failure,
        "sipStatusCode": cdr.sip_status,
        "callOutUnaswRsn": 0,
        "mptyId": cdr.binding_id or None,
        "serviceType": SERVICE_TYPES[cdr.mode] if cdr.mode else None,
        "hostName": cdr.host,
        "userData": cdr.user_data or None,
        **_recording(cdr),
    }
    for name in [name for name, value in info.items() if value is None]:
        del info[name]
    return info


def utc_time(moment: float | None) -> str | None:
    """UTC `yyyy-MM-dd HH:mm:ss`, None where the moment never came."""
    return None if moment is None else _utc_second(int(moment // 1))


@lru_cache(64)
def _utc_second(second: int) -> str:
    return to_second(second).replace("T", " ")


def _recording(cdr: Cdr) -> dict[str, str | int | None]:
    if not cdr.recording:
        return {"recordFlag": int(cdr.record and cdr.answered_at is not None)}
    path = PurePath(cdr.recording)
    return {
        "recordFlag": 1,
        "recordStartTime": utc_time(cdr.record_started_at),
        "recordObjectName": path.name,
        "recordBucketName": _bucket(path, folder_of(cdr.app_key)),
        "recordDomain": cdr.host,
    }


def _bucket(path: PurePath, app: str) -> str | None:
    """The folders below `recording.directory`: `<app>/<day>`, the day alone of a file from before apps had folders."""
    day, above = path.parent.name, path.parent.parent.name
    return f"{app}/{day}" if app and above == app else day or None
