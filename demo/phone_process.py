"""One pjsua2 phone: a process of its own that takes commands and tells events as JSON lines (RFC 3261, 4733).

`demo/phone.py` starts it as `python -m demo.phone_process '<settings>'`, writes commands to its standard input and
reads events from its standard output. pjsua2 allows one Endpoint a process, hence the process. The phone needs no sound
card: it speaks a WAV file and records what it hears into another. It ends when its standard input ends, so it never
outlives its parent. Times in events are CLOCK_MONOTONIC seconds, which all processes of a machine share.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Callable
from typing import Any

import pjsua2 as pj

from demo.phone import PhoneSettings

EVENT_LOOP_MS = 10
USER_AGENT = "softswitch-demo-phone"
MAXIMUM_CALLS = 4
CODECS = {"PCMA/8000": 255, "PCMU/8000": 254}
JITTER_BUFFER_MS = 60  # fixed: an adaptive one shortens what was heard, and times in the recording would lie
JITTER_BUFFER_DISCARDS_NOTHING = 0  # PJMEDIA_JB_DISCARD_NONE
RTP_PORTS = 8
TRANSPORTS = {
    "udp": pj.PJSIP_TRANSPORT_UDP,
    "tcp": pj.PJSIP_TRANSPORT_TCP,
    "tls": pj.PJSIP_TRANSPORT_TLS,
}

# In these states of a medium there is something to hear.
HEARING = (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD)


class Told:
    """Standard output as a stream of events; everything else that would print there goes to standard error."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)

    def event(self, kind: str, **facts: object) -> None:
        """Tell one event."""
        self._out.write(json.dumps({"event": kind, "at": time.monotonic(), **facts}) + "\n")


class PhoneCall(pj.Call):  # type: ignore[misc]
    """A call of the phone: tells its states and ties its audio to the player and the recorder."""

    def __init__(self, phone: Phone, account: PhoneAccount, call_id: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(account, call_id)
        self._phone = phone
        self._player: Any = None
        self._recorder: Any = None

    def onCallState(self, prm: object) -> None:
        """pjsua2: the INVITE session changed its state."""
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_EARLY and info.role == pj.PJSIP_ROLE_UAC:
            self._phone.told.event("ringing", status=info.lastStatusCode)
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            self._phone.told.event("answered")
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self._player = self._recorder = None  # closes the file it heard into
            self._phone.told.event("disconnected", status=info.lastStatusCode, reason=info.lastReason)
            self._phone.forget(self)

    def onCallMediaState(self, prm: object) -> None:
        """pjsua2: audio came, went or was put on hold."""
        info = self.getInfo()  # held: its media live inside it
        for index, media in enumerate(info.media):
            if media.type != pj.PJMEDIA_TYPE_AUDIO:
                continue
            hearing = media.status in HEARING
            if hearing:
                self._connect(self.getAudioMedia(index))
            self._phone.told.event("media", hearing=hearing, direction=media.dir, status=media.status)

    def _connect(self, audio: Any) -> None:
        settings = self._phone.settings
        if settings.hear:
            if self._recorder is None:
                self._recorder = pj.AudioMediaRecorder()
                self._recorder.createRecorder(settings.hear)
            audio.startTransmit(self._recorder)
        if settings.speak:
            if self._player is None:
                self._player = pj.AudioMediaPlayer()
                self._player.createPlayer(settings.speak, pj.PJMEDIA_FILE_NO_LOOP)
            self._player.startTransmit(audio)

    def onDtmfDigit(self, prm: Any) -> None:
        """pjsua2: a digit arrived."""
        self._phone.told.event("digit", digit=prm.digit)

    def onCallTsxState(self, prm: Any) -> None:
        """pjsua2: a transaction of the call moved on; tell what was received."""
        if prm.e.type == pj.PJSIP_EVENT_TSX_STATE and prm.e.body.tsxState.type == pj.PJSIP_EVENT_RX_MSG:
            self._phone.told.event("received", message=prm.e.body.tsxState.src.rdata.wholeMsg)


class PhoneAccount(pj.Account):  # type: ignore[misc]
    """The phone's only identity; it registers nowhere."""

    def __init__(self, phone: Phone) -> None:
        super().__init__()
        self._phone = phone

    def onIncomingCall(self, prm: Any) -> None:
        """pjsua2: an INVITE arrived."""
        call = PhoneCall(self._phone, self, prm.callId)
        self._phone.calls.append(call)
        info = call.getInfo()
        message = prm.rdata.wholeMsg
        self._phone.told.event("incoming", **{"from": info.remoteUri}, to=info.localUri, message=message)


class Phone:
    """The endpoint, its account and its calls; commands act on the newest call."""

    def __init__(self, settings: PhoneSettings, told: Told) -> None:
        self.settings = settings
        self.told = told
        self.calls: list[PhoneCall] = []
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._endpoint = pj.Endpoint()
        self._endpoint.libCreate()
        self._endpoint.libInit(_endpoint_config(settings))
        self._endpoint.audDevManager().setNullDev()
        transport = self._endpoint.transportCreate(TRANSPORTS[settings.transport], _transport_config(settings))
        wanted = {f"{settings.codec}/": 255} if settings.codec else CODECS
        for codec in self._endpoint.codecEnum2():
            priority = next((number for name, number in wanted.items() if codec.codecId.startswith(name)), 0)
            self._endpoint.codecSetPriority(codec.codecId, priority)
        self._endpoint.libStart()
        self._account = PhoneAccount(self)
        self._account.create(_account_config(settings, transport))

    def run(self) -> None:
        """Work until standard input ends or says quit."""
        self.told.event("ready", sip_port=self.settings.sip_port)
        pending = b""
        while True:
            self._endpoint.libHandleEvents(EVENT_LOOP_MS)
            self._do_what_is_due()
            if not select.select([0], [], [], 0)[0]:
                continue
            data = os.read(0, 65536)
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                self._obey(json.loads(line))
            if not data or any(json.loads(line)["do"] == "quit" for line in lines):
                return

    def end(self) -> None:
        """Hang up, close the files and leave pjsua2 in order."""
        self._endpoint.hangupAllCalls()
        deadline = time.monotonic() + 1.0
        while self.calls and time.monotonic() < deadline:
            self._endpoint.libHandleEvents(EVENT_LOOP_MS)
        self.calls.clear()
        self._account.shutdown()
        self._endpoint.libDestroy(pj.PJSUA_DESTROY_NO_NETWORK)  # what there was to send is sent

    def forget(self, call: PhoneCall) -> None:
        """The call is over. It must outlive the callback that says so."""
        self._later.append((0.0, lambda: self.calls.remove(call) if call in self.calls else None))

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        due = [act for at, act in self._later if at <= now]
        self._later = [(at, act) for at, act in self._later if at > now]
        for act in due:
            act()

    # Commands

    def _obey(self, command: dict[str, Any]) -> None:
        """Do one command, now or `after` seconds from now; what pjsua2 refuses is told, not fatal."""

        def act() -> None:
            try:
                getattr(self, f"_do_{command['do']}")(command)
            except (pj.Error, IndexError) as error:
                words = error.info() if isinstance(error, pj.Error) else "there is no call"
                self.told.event("refused", command=command["do"], words=words)

        self._later.append((time.monotonic() + command.get("after", 0.0), act))

    def _do_call(self, command: dict[str, Any]) -> None:
        call = PhoneCall(self, self._account)
        self.calls.append(call)
        option = pj.CallOpParam(True)
        for name, value in command["headers"].items():
            header = pj.SipHeader()
            header.hName, header.hValue = name, value
            option.txOption.headers.append(header)
        call.makeCall(command["uri"], option)

    def _do_answer(self, command: dict[str, Any]) -> None:
        option = pj.CallOpParam(True)
        option.statusCode = command["status"]
        self.calls[-1].answer(option)

    def _do_hang_up(self, command: dict[str, Any]) -> None:
        option = pj.CallOpParam(True)
        option.statusCode = command["status"]
        self.calls[-1].hangup(option)

    def _do_send_digits(self, command: dict[str, Any]) -> None:
        self.calls[-1].dialDtmf(command["digits"])

    def _do_hold(self, _: dict[str, Any]) -> None:
        self.calls[-1].setHold(pj.CallOpParam(True))

    def _do_unhold(self, _: dict[str, Any]) -> None:
        option = pj.CallOpParam(True)
        option.opt.flag |= pj.PJSUA_CALL_UNHOLD
        self.calls[-1].reinvite(option)

    def _do_quit(self, _: dict[str, Any]) -> None:
        """The loop looks at the command itself."""


def _endpoint_config(settings: PhoneSettings) -> Any:
    """One thread for SIP, no voice activity detection, no echo canceller, a jitter buffer that does not adapt."""
    config = pj.EpConfig()
    config.uaConfig.threadCnt, config.uaConfig.mainThreadOnly = 0, True
    config.uaConfig.maxCalls, config.uaConfig.userAgent = MAXIMUM_CALLS, USER_AGENT
    media = config.medConfig
    media.clockRate = media.sndClockRate = 8000
    media.noVad, media.ecTailLen, media.sndAutoCloseTime = True, 0, -1
    media.ptime = media.audioFramePtime = 20
    media.jbInit = media.jbMinPre = media.jbMaxPre = JITTER_BUFFER_MS
    config.logConfig.consoleLevel = 0
    config.logConfig.level = 4 if settings.log else 0
    config.logConfig.msgLogging = 1
    config.logConfig.filename = settings.log
    return _keeping_every_frame(config)


def _keeping_every_frame(config: Any) -> Any:
    """The jitter buffer shall shorten nothing. pjsua2 lets Python set that enum only by way of JSON."""
    document = pj.JsonDocument()
    document.writeObject(config)
    settings = json.loads(document.saveString())
    settings["EpConfig"]["MediaConfig"]["jbDiscardAlgo"] = JITTER_BUFFER_DISCARDS_NOTHING
    changed = pj.JsonDocument()
    changed.loadString(json.dumps(settings))
    changed.readObject(config)
    return config


def _transport_config(settings: PhoneSettings) -> Any:
    config = pj.TransportConfig()
    config.boundAddress, config.port = settings.address, settings.sip_port
    if settings.transport == "tls":
        config.tlsConfig.certFile, config.tlsConfig.privKeyFile = settings.tls["certificate"], settings.tls["key"]
        config.tlsConfig.CaListFile, config.tlsConfig.verifyServer = settings.tls["authorities"], True
        config.tlsConfig.proto = pj.PJ_SSL_SOCK_PROTO_TLS1_2
    return config


def _account_config(settings: PhoneSettings, transport: int) -> Any:
    """An identity without a registrar whose media stays on the phone's own ports."""
    config = pj.AccountConfig()
    config.idUri = f"sip:{settings.user}@{settings.address}:{settings.sip_port}"
    config.natConfig.contactRewriteUse = config.natConfig.viaRewriteUse = config.natConfig.sdpNatRewriteUse = 0
    config.natConfig.contactUseSrcPort = 0  # by TCP and TLS it is reached where it listens
    config.sipConfig.transportId = transport  # else a Contact by TCP names any address of the machine
    if settings.login[0]:
        config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", settings.login[0], 0, settings.login[1]))
    config.callConfig.prackUse = pj.PJSUA_100REL_OPTIONAL if settings.reliable else pj.PJSUA_100REL_NOT_USED
    config.mediaConfig.lockCodecEnabled = False
    if settings.srtp:
        suite = pj.SrtpCrypto()
        suite.name = settings.srtp
        config.mediaConfig.srtpUse, config.mediaConfig.srtpSecureSignaling = pj.PJMEDIA_SRTP_MANDATORY, 0
        config.mediaConfig.srtpOpt.cryptos.append(suite)
        config.mediaConfig.srtpOpt.keyings.append(pj.PJMEDIA_SRTP_KEYING_SDES)
    media = config.mediaConfig.transportConfig
    media.boundAddress, media.port, media.portRange = settings.address, settings.rtp_port, RTP_PORTS
    return config


def main() -> None:
    """Run the phone that the first argument describes."""
    try:
        phone = Phone(PhoneSettings(**json.loads(sys.argv[1])), Told())
    except pj.Error as error:
        sys.exit(f"the phone cannot start: {error.info()}")
    try:
        phone.run()
    finally:
        phone.end()


if __name__ == "__main__":
    main()
