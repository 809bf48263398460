"""The composition root, for real: sockets on loopback, a store on disk, no media."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from structlog.testing import capture_logs

from demo.switch_process import SwitchProcess
from media.recorder import hash_recording, wav_header
from softswitch.app import Switch
from softswitch.config import Config
from softswitch.errors import ConfigError
from softswitch.interconnect.proof import Proof
from softswitch.interfaces import App, Cdr, Mode
from softswitch.recordings import recording_path
from softswitch.routing.fields import Secret
from softswitch.sdp.offer_answer import local_offer
from softswitch.sip.addresses import Hop
from softswitch.sip.client_session import ClientSession
from softswitch.sip.digest_server import Challenger
from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.server_session import ServerSession
from softswitch.sip.session import InDialogRequest
from softswitch.sip.user_agent import Account, UserAgent
from softswitch.stores.provisioning import open_provisioning
from softswitch.stores.sqlite import open_sqlite
from softswitch.tracing.trace import Wanted

pytestmark = pytest.mark.real_time
ROOT = Path(__file__).resolve().parent.parent
X, A, B = "+8617000000001", "+8613800000001", "+8613900000002"
OFFER = local_offer("127.0.0.1", 40000, session_id=1, version=1)
TRUNK = """
[[trunk]]
name = "phone"
host = "127.0.0.1"
port = {port}
sources = ["127.0.0.1/32"]
[[route]]
name = "all"
targets = ["phone"]
"""


class Phone:
    """Answers every call at once, and tells what became of its own."""

    def __init__(self) -> None:
        self.user_agent = UserAgent()
        self.offer = self.answer = OFFER
        self.offered = self.answered = b""  # by the switch
        self.outcome: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        self.session: ClientSession | None = None

    async def start(self) -> int:
        """Listen; returns the port."""
        ((_, port),) = await self.user_agent.start([("127.0.0.1", 0)], self._answer)
        return port

    async def _answer(self, session: ServerSession) -> None:
        session.listener = self
        self.offered = session.invite.body
        session.accept(body=self.answer)
        await asyncio.Event().wait()

    def call(self, switch: tuple[str, int], dialled: str = X, caller: str = A, account: Account | None = None) -> None:
        """INVITE the switch at this address."""
        host, port = switch
        self.session = self.user_agent.invite(
            Hop("udp", host, port),
            request_uri=f"sip:{dialled}@{host}:{port}",
            from_=f"<sip:{caller}@{host}>",
            to=f"<sip:{dialled}@{host}>",
            body=self.offer,
            account=account,
        )
        self.session.listener = self

    # SessionListener

    def on_provisional(self, response: SipResponse) -> None:
        """Ringing."""

    def on_answered(self, response: SipResponse) -> None:
        """200."""
        assert self.session is not None
        self.session.acknowledge()
        self.answered = response.body
        self.outcome.set_result(response.status)

    def on_refused(self, response: SipResponse) -> None:
        """300 and above."""
        self.outcome.set_result(response.status)

    def on_bye(self, request: SipRequest) -> None:
        """Hung up on."""
        self.ended.set()

    def on_cancelled(self, request: SipRequest) -> None:
        """Not here."""

    def on_acknowledged(self, request: SipRequest) -> None:
        """Our 200 arrived."""

    def on_unacknowledged(self) -> None:
        """Not here."""

    def on_request(self, request: InDialogRequest) -> None:
        """Not here."""

    def on_dead(self, why: str) -> None:
        """Not here."""

    def on_refresh_due(self) -> None:
        """Not here."""

    def on_expired(self) -> None:
        """Not here."""


def config(folder: Path, **sections: dict[str, object]) -> Config:
    plans = folder / "dialplans"
    plans.mkdir(exist_ok=True)
    (plans / "10-china.toml").write_text((ROOT / "dialplans" / "10-china.toml").read_text())
    settings: dict[str, dict[str, object]] = {
        "sip": {"listen": ["127.0.0.1:0"]},
        "media": {"driver": "null"},
        "store": {"url": f"sqlite:///{folder / 'switch.db'}"},
        "dialplan": {"directory": str(plans)},
        "prompts": {"directory": str(ROOT / "prompts")},
        "cdr": {"file": str(folder / "cdr.jsonl")},
        "recording": {"directory": str(folder / "recordings")},
        "ops": {"listen": "127.0.0.1:0"},
        "call": {"drain_s": 5.0},
        "limits": {"max_lag_s": 0},  # a busy machine is no overload of ours
    }
    for name, values in sections.items():
        settings[name] = settings.get(name, {}) | values
    return Config.model_validate(settings)


def seed(folder: Path) -> None:
    path = str(folder / "switch.db")
    open_sqlite(path).close()
    provisioning = open_provisioning(path)
    provisioning.add_number(X, App("app", Mode.AXB))
    provisioning.bind_axb(X, A, B)
    provisioning.close()


def run(
    folder: Path,
    story: Callable[[Switch, Phone], Awaitable[None]],
    *,
    plan: str = TRUNK,
    **sections: dict[str, object],
) -> list[dict[str, Any]]:
    """Run `story` against a started switch and a phone; returns the CDR lines."""

    async def whole() -> None:
        phone = Phone()
        port = await phone.start()
        settings = config(folder, **sections)
        (folder / "dialplans" / "20-phone.toml").write_text(plan.format(port=port))
        switch = Switch(settings)
        await switch.start()
        try:
            async with asyncio.timeout(60):
                await story(switch, phone)
        finally:
            await phone.user_agent.stop()
            await switch.stop()

    seed(folder)
    asyncio.run(whole())
    lines = folder / "cdr.jsonl"
    return [msgspec.json.decode(line) for line in lines.read_bytes().splitlines()] if lines.exists() else []


def test_a_call_through_the_whole_switch_leaves_its_cdr(tmp_path: Path) -> None:
    async def story(switch: Switch, phone: Phone) -> None:
        phone.call(switch.sip_addresses[0])
        assert await phone.outcome == 200
        assert [record.state for record in switch.registry] == ["talking"]
        assert phone.session is not None
        phone.session.hang_up()
        await switch.registry.wait_empty()
        await switch.cdrs.drain()
        assert switch.user_agent.waited() > 0

    (cdr,) = run(tmp_path, story)
    assert (cdr["ulFailReason"], cdr["bindNum"], cdr["ended_by"]) == (0, X, "caller")


def test_strangers_get_silence_or_403_by_the_setting(tmp_path: Path) -> None:
    async def story(switch: Switch, phone: Phone) -> None:
        switch.dialplan = type(switch.dialplan)(switch.dialplan.numbers)
        phone.call(switch.sip_addresses[0])
        assert await phone.outcome == 403

    assert run(tmp_path, story, sip={"unknown_source": "refuse"}) == []


def test_a_broken_dialplan_keeps_the_old_one_and_live_calls(tmp_path: Path) -> None:
    async def story(switch: Switch, phone: Phone) -> None:
        phone.call(switch.sip_addresses[0])
        assert await phone.outcome == 200
        kept = switch.dialplan
        (tmp_path / "dialplans" / "30-broken.toml").write_text("[[trunk]]\nname = 7\n")
        await switch.reload()
        assert switch.dialplan is kept
        (tmp_path / "dialplans" / "30-broken.toml").write_text('[[trunk]]\nname = "more"\nhost = "127.0.0.1"\n')
        await switch.reload()
        assert set(switch.dialplan.trunks) == {"phone", "more"}
        assert len(switch.registry) == 1
        text = (await ask(switch, "/metrics")).text
        assert 'softswitch_dialplan_reloads_total{result="refused"} 1.0' in text
        assert 'softswitch_dialplan_reloads_total{result="done"} 1.0' in text

    run(tmp_path, story)


def test_a_trunk_whose_codec_media_does_not_speak_is_refused_at_a_reload_and_at_the_start(tmp_path: Path) -> None:
    trunk = '[[trunk]]\nname = "wide"\nhost = "127.0.0.1"\ncodecs = ["opus"]\n'

    async def story(switch: Switch, phone: Phone) -> None:
        kept = switch.dialplan
        switch.media.codecs = ()
        (tmp_path / "dialplans" / "30-wide.toml").write_text(trunk)
        await switch.reload()
        assert switch.dialplan is kept
        switch.media.codecs = ("opus",)
        await switch.reload()
        assert "wide" in switch.dialplan.trunks
        again = Switch(config(tmp_path, store={"url": f"sqlite:///{tmp_path}/again.db"}))
        again.media.codecs = ()
        with pytest.raises(ConfigError, match="built without opus"):
            await again.start()
        await again.stop()

    run(tmp_path, story)


def test_trunks_that_want_srtp_are_told_of_what_they_will_not_get(tmp_path: Path) -> None:
    async def story(switch: Switch, phone: Phone) -> None:
        trunk = '[[trunk]]\nname = "carrier"\nhost = "127.0.0.1"\nsrtp = "required"\n'
        (tmp_path / "dialplans" / "30-carrier.toml").write_text(trunk)
        with capture_logs() as logs:
            await switch.reload()
            switch.media.srtp = ()
            await switch.reload()
        told = [(line["event"], line["trunk"]) for line in logs if line["event"].startswith("srtp")]
        clear = ("srtp_keys_in_clear", "carrier")
        assert told == [clear, ("srtp_unavailable", "carrier"), clear]

    run(tmp_path, story)


async def ask(switch: Switch, path: str, method: str = "GET") -> httpx.Response:
    host, port = switch.operations_address
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        return await client.request(method, f"http://{host}:{port}{path}")


def test_a_traced_call_has_both_legs_under_our_call_id_and_goes_to_homer(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as homer:
        homer.bind(("127.0.0.1", 0))
        homer.settimeout(60)

        async def story(switch: Switch, phone: Phone) -> None:
            await asyncio.sleep(0)  # the tap is put in
            phone.call(switch.sip_addresses[0])
            assert await phone.outcome == 200
            (record,) = switch.registry
            traced = (await ask(switch, f"/trace/calls/{record.call_id}")).json()
            assert (traced["call_id"], len(traced["legs"])) == (record.call_id, 2)
            starts = [(one["leg"], one["received"], one["data"].partition(" ")[0]) for one in traced["messages"]]
            assert starts[0] == (0, True, "INVITE")
            assert (1, False, "INVITE") in starts
            assert not any("13900002345" in one["data"] for one in traced["messages"])
            assert (await asyncio.to_thread(homer.recv, 65535)).startswith(b"HEP3")
            switch.trace.stop()
            assert switch.user_agent.tap is None
            switch.trace.want(Wanted("trunk", "phone"))
            ours = Hop("udp", *phone_address(switch))
            assert switch.whereabouts.trunk_at(ours) == "phone"

        def phone_address(switch: Switch) -> tuple[str, int]:
            trunk = switch.dialplan.trunks["phone"]
            return trunk.host, trunk.port

        trace = {"enabled": True, "hep": f"127.0.0.1:{homer.getsockname()[1]}"}
        run(tmp_path, story, trace=trace)


def test_traces_end_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softswitch.app.EXPIRE_EVERY_S", 0.001)

    async def story(switch: Switch, phone: Phone) -> None:
        over = asyncio.Event()
        monkeypatch.setattr(switch.trace, "expire", over.set)
        await over.wait()

    run(tmp_path, story)


def test_draining_refuses_new_calls_and_waits_for_live_ones(tmp_path: Path) -> None:
    async def story(switch: Switch, phone: Phone) -> None:
        phone.call(switch.sip_addresses[0])
        assert await phone.outcome == 200
        assert (await ask(switch, "/health/ready")).status_code == 200
        switch.terminate()
        assert (await ask(switch, "/health/ready")).json()["checks"]["accepting"] is False
        first, phone.outcome = phone.session, asyncio.get_running_loop().create_future()
        phone.call(switch.sip_addresses[0])
        assert await phone.outcome == 503
        assert first is not None
        first.hang_up()
        await switch.wait_stopped()

    assert [cdr["ulFailReason"] for cdr in run(tmp_path, story)] in ([0, 7109], [7109, 0])


def test_a_second_sigterm_hangs_up_what_is_left(tmp_path: Path) -> None:
    async def story(switch: Switch, phone: Phone) -> None:
        phone.call(switch.sip_addresses[0])
        assert await phone.outcome == 200
        switch.terminate()
        switch.terminate()
        await switch.wait_stopped()
        await switch.stop()
        await phone.ended.wait()

    (cdr,) = run(tmp_path, story)
    assert (cdr["ulFailReason"], cdr["ended_by"]) == (8040, "switch")


def test_what_cannot_be_listened_on_is_a_clear_error(tmp_path: Path) -> None:
    async def story() -> None:
        switch = Switch(config(tmp_path, sip={"listen": ["203.0.113.1:5060"]}))
        with pytest.raises(ConfigError, match=r"sip\.listen: cannot listen on 203\.0\.113\.1:5060"):
            await switch.start()
        await switch.stop()

    seed(tmp_path)
    asyncio.run(story())


def test_an_operations_address_that_is_taken_is_a_clear_error_after_which_everything_stops(tmp_path: Path) -> None:
    async def story(address: str) -> None:
        switch = Switch(config(tmp_path, ops={"listen": address}))
        with pytest.raises(ConfigError, match=rf"ops\.listen: cannot listen on {re.escape(address)}: .*"):
            await switch.start()
        await switch.stop()

    seed(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        asyncio.run(story(f"127.0.0.1:{taken.getsockname()[1]}"))
    asyncio.run(story("203.0.113.1:9108"))


def test_attempts_that_a_crash_left_open_are_closed_at_the_next_start(tmp_path: Path) -> None:
    async def call(switch: SwitchProcess, phone: Phone) -> None:
        phone.call(("127.0.0.1", switch.sip_port))
        assert await phone.outcome == 200
        switch.signal(signal.SIGKILL)
        await phone.user_agent.stop()

    async def story() -> SwitchProcess:
        phone = Phone()
        plan = TRUNK.format(port=await phone.start())
        switch = SwitchProcess(tmp_path, dialplan=plan, settings={"media": {"driver": "null"}})
        switch.cli("number", "add", X, "--app", "app", "--mode", "AXB")
        switch.cli("bind", "axb", X, A, B)
        await asyncio.to_thread(switch.start)
        await call(switch, phone)
        return switch

    switch = asyncio.run(story())
    switch.stop()
    (left,) = asyncio.run(open_sqlite(str(switch.folder / "softswitch.db")).unfinished_attempts())
    recording = Path(recording_path(str(switch.recordings), "app", left.call_id, left.call_in_at))
    recording.parent.mkdir(parents=True)
    recording.write_bytes(wav_header(0, 1) + b"\x55" * 8000)
    switch.start()
    try:
        (cdr,) = switch.wait_for_cdrs(1)
    finally:
        switch.stop()
    assert (cdr["ulFailReason"], cdr["ended_by"]) == (8040, "switch")
    assert cdr["fwdAnswerTime"]
    assert (cdr["recording_sha256"], cdr["recording_truncated"]) == (hash_recording(str(recording)), True)


def test_calls_are_taken_while_the_recordings_of_a_crash_are_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be thousands, in folders of a million."""
    answered = threading.Event()

    def slow(directory: str, app_key: str, call_id: str, called_at: float) -> None:
        assert answered.wait(60)

    async def story(switch: Switch, phone: Phone) -> None:
        phone.call(switch.sip_addresses[0])
        assert await phone.outcome == 200
        answered.set()
        await switch.cdrs.drain()

    monkeypatch.setattr("softswitch.app.recording_of", slow)
    store = open_sqlite(str(tmp_path / "switch.db"))
    asyncio.run(store.open_attempt(Cdr("crashed", call_in_at=time.time())))
    store.close()
    assert run(tmp_path, story)[0]["ulFailReason"] == 8040


PROVING = """
auth = "digest"
auth_username = "phone"
auth_password = "its own"
username = "switch"
password = "env:TEST_TRUNK_PASSWORD"
health_s = 30.0
register = true
"""


def test_each_side_proves_its_password_and_the_trunk_is_looked_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_TRUNK_PASSWORD", "from the environment")

    async def story(switch: Switch, phone: Phone) -> None:
        asked: list[str] = []
        trunk = switch.dialplan.trunks["phone"]
        phone.user_agent.authenticate = Proof(
            lambda hop: dataclasses.replace(
                trunk, auth="digest", username="switch", password=Secret("from the environment")
            ),
            Challenger(b"secret", lambda: "salt"),
            lambda name, verdict: asked.append(verdict),
            ban=pytest.fail,
        )
        file = tmp_path / "dialplans" / "20-phone.toml"
        file.write_text(file.read_text().replace("sources", PROVING.strip() + "\nsources"))
        await switch.reload()
        phone.call(switch.sip_addresses[0], account=Account("phone", "its own"))
        assert await phone.outcome == 200
        assert asked == ["challenged", "accepted"]
        text = ""
        while 'method="REGISTER",status="405"' not in text:  # a phone is no registrar; it says so beside the call
            text = (await ask(switch, "/metrics")).text
        assert 'softswitch_digest_checks_total{trunk="phone",verdict="challenged"} 1.0' in text
        assert 'softswitch_digest_checks_total{trunk="phone",verdict="accepted"} 1.0' in text
        assert 'softswitch_trunk_up{trunk="phone"} 1.0' in text
        assert 'softswitch_trunk_registered{trunk="phone"} 0.0' in text
        outsider = Phone()
        await outsider.start()
        outsider.call(switch.sip_addresses[0], account=Account("phone", "guessed"))
        assert await outsider.outcome == 401
        await outsider.user_agent.stop()

    run(tmp_path, story)
