"""Every setting of the switch: its type, unit, default and meaning, read from TOML and the environment.

`load_config()` is called by the command line and by tests; everyone else is handed the section it needs. Nothing here
opens sockets, databases or files other than the configuration file. Relative paths count from the working directory.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from softswitch.errors import ConfigError
from softswitch.hosts import is_host

DEFAULT_FILE = "softswitch.toml"
FILE_VARIABLE = "SOFTSWITCH_CONFIG"
ENVIRONMENT_PREFIX = "SOFTSWITCH_"
SQLITE_PREFIX = "sqlite:///"


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[IPv6]:port`; raises ValueError."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]+):(\d{1,5})", text)
    if match is None or int(match[2]) > 65535 or not is_host(match[1].strip("[]")):
        raise ValueError(f"expected host:port such as 127.0.0.1:5060, got {text!r}")
    return match[1].strip("[]"), int(match[2])


class SipListener(NamedTuple):
    """One entry of `sip.listen`; what is advertised is empty or 0 where that is the address itself."""

    transport: str
    host: str
    port: int
    advertised_host: str = ""
    advertised_port: int = 0


def split_listener(text: str) -> SipListener:
    """Parts of `[udp:|tcp:|tls:]host:port[ as host[:port]]`; raises ValueError."""
    match = re.fullmatch(r"(?:(udp|tcp|tls):)?(\S+?)(?: as (\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]+)(?::(\d{1,5}))?)?", text)
    if match is None:
        raise ValueError(f"expected host:port, udp:host:port, tcp:host:port or tls:host:port, got {text!r}")
    transport, address, advertised, port = match.groups()
    return SipListener(transport or "udp", *split_address(address), (advertised or "").strip("[]"), int(port or 0))


def split_ports(text: str) -> tuple[int, int]:
    """First and last port of `first-last`; raises ValueError."""
    match = re.fullmatch(r"(\d{1,5})-(\d{1,5})", text)
    if match is None or not 1024 <= int(match[1]) < int(match[2]) <= 65535:
        raise ValueError(f"expected a range of ports such as 20000-29999 within 1024-65535, got {text!r}")
    return int(match[1]), int(match[2])


def _address(text: str) -> str:
    split_address(text)
    return text


def _numeric_address(text: str) -> str:
    ipaddress.ip_address(split_address(text)[0])
    return text


def _ipv4(text: str) -> str:
    return str(ipaddress.IPv4Address(text))


def _ipv6(text: str) -> str:
    return text and str(ipaddress.IPv6Address(text))


def _optional_address(text: str) -> str:
    return text and _address(text)


def _listener(text: str) -> str:
    split_listener(text)
    return text


def _ports(text: str) -> str:
    split_ports(text)
    return text


def _sqlite_url(text: str) -> str:
    if not text.startswith(SQLITE_PREFIX) or text == SQLITE_PREFIX:
        raise ValueError(f"expected {SQLITE_PREFIX}path, got {text!r}")
    return text


def _comma_separated(value: object) -> object:
    """The environment gives lists as `a,b`; TOML gives them as arrays."""
    return [item.strip() for item in value.split(",")] if isinstance(value, str) else value


Address = Annotated[str, AfterValidator(_address)]
ListenerList = Annotated[list[Annotated[str, AfterValidator(_listener)]], BeforeValidator(_comma_separated), NoDecode]
NumericAddressList = Annotated[
    list[Annotated[str, AfterValidator(_numeric_address)]], BeforeValidator(_comma_separated), NoDecode
]
Seconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """What all sections share: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SipSettings(Section):
    """`[sip]`: the signalling side."""

    listen: ListenerList = Field(
        default=["127.0.0.1:5060"],
        description="where to listen: host:port (UDP), udp:, tcp: or tls:host:port; ` as host:port` behind it is what "
        "peers are told instead",
        min_length=1,
    )
    advertised: str = Field(
        default="", description="host written into Via, Contact and From where `listen` has no ` as `; empty: its own"
    )
    tls_certificate: str = Field(default="", description="PEM file of our certificate and those that vouch for it")
    tls_key: str = Field(default="", description="PEM file of its key; empty: it is in the file of the certificate")
    tls_names: dict[str, str] = Field(
        default={}, description="further certificates, by the domain that a caller asks for (SNI): PEM files with keys"
    )
    tls_authorities: str = Field(
        default="", description="PEM file of the authorities that peers' certificates must be of; empty: the system's"
    )
    tls_clients: Literal["none", "optional", "required"] = Field(
        default="none", description="whether those who connect to us must show a certificate"
    )
    dns_servers: NumericAddressList = Field(
        default=[], description="address:port of the DNS servers that are asked for trunks; empty: the system's"
    )
    connections: int = Field(default=1000, description="accepted TCP and TLS connections at once", ge=1)
    connections_per_source: int = Field(
        default=100,
        description="of these from one address, or one /64 of IPv6; a trunk and strangers there count apart",
        ge=1,
    )
    connection_idle_s: Seconds = Field(default=900, description="seconds without traffic that close a connection")
    keep_alive_s: float = Field(
        default=100, description="seconds without traffic, then connections of ours get CRLF CRLF; 0: never", ge=0
    )
    connection_message_s: Seconds = Field(
        default=10, description="seconds that a message (and the TLS handshake) may take from first to last byte"
    )

    @model_validator(mode="after")
    def _tellable(self) -> Self:
        """Peers can't answer to a wildcard address."""
        for text, one in zip(self.listen, self.listeners, strict=True):
            if one.host in ("0.0.0.0", "::") and not one.advertised_host:
                raise ValueError(f"listening on {text} needs sip.advertised, the address that peers reach")
            if one.transport == "tls" and not self.tls_certificate:
                raise ValueError(f"listening on {text} needs sip.tls_certificate")
        return self

    @property
    def listeners(self) -> list[SipListener]:
        """The entries of `listen`; `advertised` stands in those that say nothing else and are of its address family."""
        listeners = [split_listener(text) for text in self.listen]
        named = not re.fullmatch(r"[\d.]+|.*:.*", self.advertised)
        return [
            one._replace(advertised_host=one.advertised_host or self.advertised)
            if named or (":" in self.advertised) == (":" in one.host)
            else one
            for one in listeners
        ]

    session_expires_s: int = Field(
        default=1800,
        description="RFC 4028: a call whose far end gives no sign of life for so long is ended; 90 at least, 0: off",
        le=86400,
    )

    @field_validator("session_expires_s")
    @classmethod
    def _no_less_than_90(cls, seconds: int) -> int:
        """RFC 4028 5: no Min-SE may be smaller."""
        if seconds and seconds < 90:
            raise ValueError("expected 90 seconds or more, or 0 for off")
        return seconds

    unknown_source: Literal["drop", "refuse"] = Field(
        default="drop", description="an INVITE from no known trunk: `drop` is silence, `refuse` is 403"
    )
    stranger_rate: float = Field(
        default=2.0, description="messages a second that an unknown source may send; more are dropped unread", gt=0
    )
    stranger_ban_after: int = Field(
        default=20, description="messages turned away within a minute that ban an unknown source", ge=1
    )
    stranger_ban_s: Seconds = Field(default=600, description="seconds that a ban lasts")
    digest_ban_after: int = Field(
        default=20,
        description="wrong passwords, no right one between them, that ban an address even of a trunk; 0: none do",
        ge=0,
    )


class MediaSettings(Section):
    """`[media]`: the RTP side."""

    driver: Literal["server", "null"] = Field(
        default="server", description="`server`: the media server; `null`: no media at all, for signalling benchmarks"
    )
    server: str = Field(
        default="", description="socket path of a running media server; empty: start and supervise our own"
    )
    socket: str = Field(default="var/media.sock", description="socket path of the media server we start", min_length=1)
    bind: Annotated[str, AfterValidator(_ipv4)] = Field(
        default="127.0.0.1", description="IPv4 address RTP ports are opened on"
    )
    advertised: str = Field(default="", description="address written into SDP; empty: the one of `bind`")
    bind6: Annotated[str, AfterValidator(_ipv6)] = Field(
        default="", description="IPv6 address RTP ports are opened on, for calls over IPv6; empty: none"
    )
    advertised6: str = Field(default="", description="IPv6 address written into SDP; empty: the one of `bind6`")
    ports: Annotated[str, AfterValidator(_ports)] = Field(
        default="20000-29999", description="RTP and RTCP ports, first-last"
    )
    silence_s: Seconds = Field(default=60, description="seconds without RTP from either side after which a call ends")
    nat: bool = Field(
        default=False,
        description="RTP of all trunks may come from elsewhere than their SDP says; better say so of each trunk",
    )
    grace_s: Seconds = Field(default=60, description="seconds that calls outlive their controller in the media server")
    hung_s: float = Field(default=10, description="seconds without an answer, then media starts anew; 0: never", ge=0)
    io: Literal["auto", "uring", "epoll"] = Field(
        default="auto", description="how the media server reads and writes: `auto` is `uring` where the kernel has it"
    )
    workers: int = Field(default=1, description="threads that handle RTP, each its own calls; 0: one a processor", ge=0)
    dscp: int = Field(default=46, description="DSCP of RTP and RTCP; 46 is EF, 0 unmarked", ge=0, le=63)
    socket_buffer_kb: int = Field(
        default=0, description="send and receive buffer of each RTP port in KiB; 0: as the system has it", ge=0
    )
    packets_per_s: int = Field(default=500, description="RTP packets a second taken from one far end at most", ge=50)
    kernel_relay: bool = Field(default=False, description="plain RTP is relayed inside the kernel; see the guide")
    realtime: bool = Field(
        default=False,
        description="the media server we start handles RTP before any other work on the machine; needs CAP_SYS_NICE",
    )

    @model_validator(mode="after")
    def _tellable(self) -> Self:
        """0.0.0.0 in a session description means hold (RFC 3264 8.4), and nobody can send to either wildcard."""
        for key, bind, advertised in (("", self.bind, self.advertised), ("6", self.bind6, self.advertised6)):
            if bind in ("0.0.0.0", "::") and not advertised:
                raise ValueError(f"bind{key} = {bind!r} needs advertised{key}, the address that far ends send to")
        if self.kernel_relay and self.bind == "0.0.0.0":
            raise ValueError("kernel_relay = true needs bind = the very address that RTP comes to, not 0.0.0.0")
        return self

    @property
    def port_range(self) -> tuple[int, int]:
        """First and last port of `ports`."""
        return split_ports(self.ports)


class StoreSettings(Section):
    """`[store]`: bindings, the pool of X and CDRs."""

    url: Annotated[str, AfterValidator(_sqlite_url)] = Field(
        default="sqlite:///var/softswitch.db", description="sqlite:///relative/path or sqlite:////absolute/path"
    )

    cache_mb: int = Field(default=64, description="most memory for pages of the file; it fills as the file grows", ge=1)

    @property
    def path(self) -> str:
        """The file of an SQLite `url`."""
        return self.url.removeprefix(SQLITE_PREFIX)


class DialplanSettings(Section):
    """`[dialplan]`: digit analysis, trunks, routes and treatments."""

    directory: str = Field(default="dialplans", description="directory of the *.toml files", min_length=1)


class PromptSettings(Section):
    """`[prompts]`: what callers hear from the switch."""

    directory: str = Field(default="prompts", description="directory with one folder a language", min_length=1)
    language: str = Field(
        default="zh-CN", description="language where a call names none or one that is missing", min_length=1
    )
    tones: Literal["cn", "hk", "us", "uk", "eu"] = Field(
        default="cn", description="whose ringback, busy and congestion tones callers hear"
    )


class RecordingSettings(Section):
    """`[recording]`: files of recorded calls."""

    directory: str = Field(default="var/recordings", description="directory with a folder an app and day", min_length=1)
    stereo: bool = Field(default=False, description="true: caller left, callee right; false: mono mix")
    keep_days: int = Field(default=7, description="days after which a recording is deleted; 0: never", ge=0, le=36500)


class CdrSettings(Section):
    """`[cdr]`: call detail records beside those in the store."""

    file: str = Field(default="var/cdr.jsonl", description="JSON-lines file that each CDR is appended to; empty: none")


class OpsSettings(Section):
    """`[ops]`: metrics, health and the list of running calls."""

    listen: Address = Field(
        default="0.0.0.0:9108", description="HTTP address of /metrics, /health and /calls, host:port"
    )


class LimitSettings(Section):
    """`[limits]`: admission to the whole switch."""

    max_calls: int = Field(default=2000, description="calls at once; more are refused with 503", ge=1)
    calls_per_second: float = Field(default=0.0, description="new calls a second; 0: no limit", ge=0)
    max_calls_per_app: int = Field(default=0, description="calls at once of one app; 0: no limit", ge=0)
    max_calls_per_x: int = Field(default=0, description="calls at once through one X; 0: no limit", ge=0)
    max_calls_per_source: int = Field(
        default=0, description="calls at once that come from one address; 0: no limit", ge=0
    )
    calls_per_second_per_source: float = Field(
        default=0.0, description="new calls a second from one address; 0: no limit", ge=0
    )
    max_lag_s: float = Field(
        default=0.05, description="seconds that the event loop may be late before new calls get 503; 0: never", ge=0
    )
    retry_after_s: int = Field(default=5, description="seconds in the Retry-After header of a 503", ge=1)


class ExtensionSettings(Section):
    """`[extension]`: collecting E from the caller of an AXE number."""

    first_digit_s: Seconds = Field(default=10.0, description="seconds from the prompt's end to the first digit")
    inter_digit_s: Seconds = Field(default=4.0, description="seconds between two digits")
    tries: int = Field(default=3, description="how often E is asked for in all", ge=1)


class CallSettings(Section):
    """`[call]`: the clocks of a call."""

    max_duration_s: int = Field(default=0, description="seconds of talk after which any call ends; 0: no limit", ge=0)
    drain_s: float = Field(default=30.0, description="seconds that running calls are given when the switch stops", ge=0)
    warning_s: Seconds = Field(
        default=60.0, description="seconds before the maximum duration that the warning is played"
    )


class LogSettings(Section):
    """`[log]`: one line a call event."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="least severity logged")
    format: Literal["console", "json"] = Field(default="console", description="for people or for machines")
    mask_numbers: bool = Field(default=True, description="show phone numbers with their middle digits hidden")


class TraceSettings(Section):
    """`[trace]`: SIP messages of calls, kept in memory for `softswitch trace` and sent to Homer."""

    enabled: bool = Field(
        default=False, description="trace calls from the start; else on demand: softswitch trace --on"
    )
    ratio: float = Field(default=1.0, description="share of all calls that `enabled` traces", gt=0, le=1)
    memory_mb: int = Field(default=32, description="MiB that traces may take; the oldest calls go first", ge=1)
    keep_s: Seconds = Field(default=3600, description="seconds since its beginning that a call's trace is kept")
    hep: Annotated[str, AfterValidator(_optional_address)] = Field(
        default="", description="host:port (UDP) of a Homer that gets what is traced, as HEP3, unmasked; empty: none"
    )
    hep_id: int = Field(default=2001, description="capture id that Homer knows us by", ge=0, le=0xFFFFFFFF)
    hep_key: str = Field(default="", description="key that Homer wants of us; empty: none")


class Config(BaseSettings):
    """The whole configuration; values are final when `load_config()` returns."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    host_name: str = Field(default_factory=socket.gethostname, description="name of this machine in CDRs", min_length=1)
    sip: SipSettings = SipSettings()
    media: MediaSettings = MediaSettings()
    store: StoreSettings = StoreSettings()
    dialplan: DialplanSettings = DialplanSettings()
    prompts: PromptSettings = PromptSettings()
    recording: RecordingSettings = RecordingSettings()
    cdr: CdrSettings = CdrSettings()
    ops: OpsSettings = OpsSettings()
    limits: LimitSettings = LimitSettings()
    extension: ExtensionSettings = ExtensionSettings()
    call: CallSettings = CallSettings()
    log: LogSettings = LogSettings()
    trace: TraceSettings = TraceSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, which arrives as keyword arguments."""
        return env_settings, init_settings


def load_config(path: str | None = None) -> Config:
    """Read `path`, else the file SOFTSWITCH_CONFIG names, else `softswitch.toml` if it is there, else only defaults.

    SOFTSWITCH_SECTION__KEY in the environment wins over the file. Raises ConfigError naming file (or variable) and key.
    """
    file = path or os.environ.get(FILE_VARIABLE) or (DEFAULT_FILE if Path(DEFAULT_FILE).exists() else None)
    values = {} if file is None else _read(file)
    _refuse_unknown_variables(os.environ)
    try:
        return Config(**values)
    except ValidationError as error:
        raise _config_error(file or DEFAULT_FILE, error.errors()) from None
    except SettingsError as error:  # a whole section given as one variable that is not JSON
        raise ConfigError("environment", f"{error}; expected {ENVIRONMENT_PREFIX}SECTION__KEY") from None


def _read(file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(file, f"cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(file, f"is not TOML: {error}") from None


def _refuse_unknown_variables(environment: Iterable[str]) -> None:
    """A misspelt section would otherwise be passed over in silence (a misspelt key is found by its section)."""
    for variable in environment:
        section, nested, _ = variable.upper().removeprefix(ENVIRONMENT_PREFIX).partition("__")
        if variable.upper().startswith(ENVIRONMENT_PREFIX) and nested and section.lower() not in Config.model_fields:
            raise ConfigError(variable, f"no section {section.lower()!r}; expected one of {_names(Config)}")


def _config_error(file: str, errors: list[ErrorDetails]) -> ConfigError:
    """One ConfigError for all that is wrong: the place of the first, the rest in its words."""
    (place, message), *others = [(_place(file, error["loc"]), _expectation(error)) for error in errors]
    return ConfigError(place, "; ".join([message, *(f"{place}: {message}" for place, message in others)]))


def _place(file: str, location: tuple[int | str, ...]) -> str:
    key = [part for part in location if isinstance(part, str)]
    variable = ENVIRONMENT_PREFIX + "__".join(key).upper()
    if variable in (name.upper() for name in os.environ):
        return variable
    return f"{file}: {'.'.join(key)}"


def _expectation(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return f"unknown key; expected one of {_names(_section(error['loc'][:-1]))}"
    message = error["msg"].removeprefix("Value error, ")
    return message if "got" in message else f"{message[:1].lower()}{message[1:]}, got {error['input']!r}"


def _section(location: tuple[int | str, ...]) -> type[BaseModel]:
    if not location:
        return Config
    section = Config.model_fields[str(location[0])].annotation
    assert isinstance(section, type)
    assert issubclass(section, BaseModel)
    return section


def _names(model: type[BaseModel]) -> str:
    fields: Mapping[str, object] = model.model_fields
    return ", ".join(sorted(fields))
