"""The parts of a switch as its configuration wants them: each function turns settings into one part.

Called by `app.py`, which connects them, and in part by `softswitch check`. Starts nothing and keeps nothing.
"""

from __future__ import annotations

import functools
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence

from softswitch.call.services import CallSettings
from softswitch.config import Config, MediaSettings, SipSettings, split_address
from softswitch.errors import ConfigError
from softswitch.media_drivers.null import NullDriver
from softswitch.media_drivers.server import ServerDriver
from softswitch.media_drivers.supervisor import MediaProcess
from softswitch.routing.dialplan import Dialplan
from softswitch.sdp.formats import G711
from softswitch.sip.addresses import Hop, Listener, LocalAddresses
from softswitch.sip.overload import Overload, OverloadLimits
from softswitch.sip.provisional import RELIABLE
from softswitch.sip.resolver import Dns, Locator
from softswitch.sip.session_timer import TIMER
from softswitch.sip.strangers import StrangerLimits, Strangers
from softswitch.sip.stream_transport import StreamLimits
from softswitch.sip.timing import Timing
from softswitch.sip.tls import Tls, TlsFiles
from softswitch.sip.transport import TransportFactory, open_transport
from softswitch.sip.user_agent import UserAgent
from softswitch.tracing.hep import HepExport


def user_agent(sip: SipSettings, transports: TransportFactory, overload: Overload) -> UserAgent:
    """With PRACK, and with the session timer unless it is off."""
    strangers = StrangerLimits(per_second=sip.stranger_rate, ban_after=sip.stranger_ban_after, ban_s=sip.stranger_ban_s)
    timers = [TIMER] if sip.session_expires_s else []
    return UserAgent(
        transport_factory=transports,
        supported=[RELIABLE, *timers],
        timing=Timing(session_expires=sip.session_expires_s),
        strangers=Strangers(strangers),
        overload=overload,
    )


def local_addresses(sip: SipSettings) -> LocalAddresses:
    """Our listeners, as far as they tell what can be reached."""
    return LocalAddresses([Listener(one.host, one.port, one.transport) for one in sip.listeners])


def locator(sip: SipSettings) -> Locator:
    """Where trunks are, among what our listeners can reach."""
    local = local_addresses(sip)

    def serves(hop: Hop) -> bool:
        return local.listener_for(hop) is not None

    servers = [split_address(one) for one in sip.dns_servers]
    return Locator(Dns(servers), serves, clock=time.monotonic, chance=random.random)


def overload_limits(config: Config) -> OverloadLimits:
    """Beyond which new calls get 503."""
    limits = config.limits
    retry_after_s = int(limits.retry_after_s)
    return OverloadLimits(lag_s=limits.max_lag_s, calls=limits.max_calls, retry_after_s=retry_after_s)


def tls_files(sip: SipSettings) -> TlsFiles:
    """Our certificate, and whom we trust."""
    return TlsFiles(sip.tls_certificate, sip.tls_key, sip.tls_authorities, sip.tls_clients, sip.tls_names)


def transports(
    sip: SipSettings,
    tls: Tls,
    counts: Counter[str],
    welcome: Callable[[Hop], bool],
    room_for: Callable[[Hop], float],
) -> TransportFactory:
    """Opens our sockets; what happens to TCP and TLS connections is counted in `counts`."""
    limits = StreamLimits(
        connections=sip.connections,
        per_source=sip.connections_per_source,
        idle_s=sip.connection_idle_s,
        message_s=sip.connection_message_s,
        keep_alive_s=sip.keep_alive_s,
    )
    return functools.partial(open_transport, tls=tls, limits=limits, counts=counts, welcome=welcome, room_for=room_for)


def hep_export(config: Config) -> HepExport | None:
    """The way to Homer, None where there is none."""
    trace = config.trace
    return HepExport(split_address(trace.hep), trace.hep_id, trace.hep_key) if trace.hep else None


def media_parts(config: Config) -> tuple[MediaProcess | None, ServerDriver | NullDriver]:
    """Our own media server and the way to it, or the way to a running one, or none at all."""
    media = config.media
    if media.driver == "null":
        first, last = media.port_range
        return None, NullDriver(address=media.bind, first_port=first, pairs=(last - first + 1) // 2, journal=False)
    process = None if media.server else MediaProcess(_media_arguments(config))
    driver = ServerDriver(
        media.server or media.socket,
        advertised=media.advertised,
        advertised6=media.advertised6,
        nat=media.nat,
        hung_s=media.hung_s,
        on_hung=process.kill if process else lambda: None,
    )
    return process, driver


def _media_arguments(config: Config) -> list[str]:
    media = config.media
    settings = {
        "socket": media.socket,
        "bind": media.bind,
        "bind6": media.bind6,
        "ports": media.ports,
        "silence-s": media.silence_s,
        "grace-s": media.grace_s,
        "io": media.io,
        "workers": media.workers,
        "dscp": media.dscp,
        "socket-buffer": media.socket_buffer_kb * 1024,
        "packets-per-s": media.packets_per_s,
        "log-format": config.log.format,
    }
    flags = ["--realtime"] * media.realtime + ["--kernel-relay"] * media.kernel_relay
    return [f"--{name}={value}" for name, value in settings.items()] + flags


def check_media_addresses(media: MediaSettings) -> None:
    """Raise ConfigError for an address that our media server could open no port on: no call would ever get one."""
    for key, address in (("media.bind", media.bind), *[("media.bind6", media.bind6)] * bool(media.bind6)):
        try:
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind((address, 0))
        except OSError as error:
            raise ConfigError(key, f"no port can be opened on {address}: {error.strerror}") from error


def check_codecs(dialplan: Dialplan, spoken: Sequence[str]) -> None:
    """Raise ConfigError for a trunk with a codec that media, which speaks `spoken` beside G.711, was built without."""
    for trunk in dialplan.trunks.values():
        missing = [codec for codec in trunk.codecs if codec not in (*G711, *spoken)]
        if missing:
            raise ConfigError(
                f"trunk '{trunk.name}', codecs", f"the media server was built without {' and '.join(missing)}"
            )


def call_settings(config: Config, identity_host: str) -> CallSettings:
    """What shapes the story of a call; `identity_host` is the host part of our own identities."""
    return CallSettings(
        identity_host=identity_host,
        host_name=config.host_name,
        first_digit_s=config.extension.first_digit_s,
        inter_digit_s=config.extension.inter_digit_s,
        extension_tries=config.extension.tries,
        warning_s=config.call.warning_s,
        recording_directory=config.recording.directory,
        language=config.prompts.language,
        stereo=config.recording.stereo,
        max_calls=config.limits.max_calls,
        calls_per_second=config.limits.calls_per_second,
        max_calls_per_app=config.limits.max_calls_per_app,
        max_calls_per_x=config.limits.max_calls_per_x,
        max_calls_per_source=config.limits.max_calls_per_source,
        calls_per_second_per_source=config.limits.calls_per_second_per_source,
    )
