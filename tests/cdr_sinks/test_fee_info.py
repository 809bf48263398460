"""FeeInfo of a CDR, member by member (provisioning interface 6.2, serviceType by section 12)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from softswitch.cdr_sinks.fee_info import fee_info
from softswitch.interfaces import Cdr, Mode
from softswitch.recordings import recording_path

ANSWERED = Cdr(
    call_id="c-1",
    host="sw1",
    mode=Mode.AXB,
    direction=1,
    app_key="shop",
    x="+8617000000001",
    binding_id="b-1",
    caller="+8613800000001",
    callee="+8617000000001",
    display="+8617000000001",
    destination="+8613800000002",
    call_in_at=1652419497.25,
    forward_at=1652419498.0,
    alerting_at=1652419501.0,
    answered_at=1652419518.9,
    ended_at=1652419541.0,
    cause=16,
    record=True,
    record_started_at=1652419518.9,
    recording="var/recordings/20220513/20220513052518_c-1.wav",
    user_data="order-1",
)


def test_an_answered_call_has_the_members_of_the_reference() -> None:
    assert fee_info(ANSWERED) == {
        "direction": 1,
        "spId": "",
        "appKey": "shop",
        "icid": "c-1",
        "bindNum": "+8617000000001",
        "sessionId": "c-1",
        "subscriptionId": "b-1",
        "callerNum": "+8613800000001",
        "calleeNum": "+8617000000001",
        "fwdDisplayNum": "+8617000000001",
        "fwdDstNum": "+8613800000002",
        "callInTime": "2022-05-13 05:24:57",
        "fwdStartTime": "2022-05-13 05:24:58",
        "fwdAlertingTime": "2022-05-13 05:25:01",
        "fwdAnswerTime": "2022-05-13 05:25:18",
        "callEndTime": "2022-05-13 05:25:41",
        "fwdUnaswRsn": 0,
        "ulFailReason": 0,
        "sipStatusCode": 0,
        "callOutUnaswRsn": 0,
        "mptyId": "b-1",
        "serviceType": "004",
        "hostName": "sw1",
        "userData": "order-1",
        "recordFlag": 1,
        "recordStartTime": "2022-05-13 05:25:18",
        "recordObjectName": "20220513052518_c-1.wav",
        "recordBucketName": "20220513",
        "recordDomain": "sw1",
    }


def test_a_refused_call_leaves_out_what_never_came() -> None:
    refused = Cdr("c-2", x="+8617000000001", caller="+8613", callee="+8617000000001", call_in_at=0.0, failed_at=1.0)
    info = fee_info(replace(refused, failure=8014, sip_status=404, cause=1))
    assert info["failTime"] == "1970-01-01 00:00:01"
    assert (info["ulFailReason"], info["sipStatusCode"], info["fwdUnaswRsn"], info["direction"]) == (8014, 404, 1, 2)
    assert info["recordFlag"] == 0
    for member in ("fwdAnswerTime", "callEndTime", "subscriptionId", "extendNum", "serviceType", "recordObjectName"):
        assert member not in info


@pytest.mark.parametrize(("mode", "service"), [(Mode.AX, "003"), (Mode.AXB, "004"), (Mode.AXE, "005")])
def test_the_service_type_tells_the_mode(mode: Mode, service: str) -> None:
    assert fee_info(replace(ANSWERED, mode=mode, extension="12"))["serviceType"] == service


def test_an_axe_call_tells_its_extension() -> None:
    assert fee_info(replace(ANSWERED, mode=Mode.AXE, extension="0012"))["extendNum"] == "0012"


def test_a_call_that_nobody_answered_was_not_recorded_whatever_its_binding_says() -> None:
    missed = replace(ANSWERED, answered_at=None, record_started_at=None, recording="", failure=8101)
    assert fee_info(missed)["recordFlag"] == 0


def test_a_recording_that_failed_is_a_recorded_flag_without_a_file() -> None:
    info = fee_info(replace(ANSWERED, recording=""))
    assert info["recordFlag"] == 1
    assert "recordObjectName" not in info


@pytest.mark.parametrize(("app_key", "bucket"), [("shop", "shop/20220513"), ("快/1", "%E5%BF%AB%2F1/20220513")])
def test_where_a_recording_lies_below_the_directory_is_told_with_its_apps_folder(app_key: str, bucket: str) -> None:
    path = recording_path("var/recordings", app_key, "c-1", 1652419518.9)
    info = fee_info(replace(ANSWERED, app_key=app_key, recording=path))
    assert f"var/recordings/{info['recordBucketName']}/{info['recordObjectName']}" == path
    assert info["recordBucketName"] == bucket
