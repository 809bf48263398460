CLOSED: int
DIGIT: int
SILENCE: int
PLAYED: int
RECORDED: int
TRUNCATED: int
TOTALS: int
WAV_HEADER_BYTES: int
SRTP_SUITES: tuple[str, ...]
CODECS: tuple[str, ...]

class KernelRelay:
    def __init__(self, streams: int, workers: int = 1, /) -> None: ...
    @property
    def interfaces(self) -> int: ...
    def detach(self) -> None: ...

class Core:
    def __init__(
        self,
        capacity: int,
        silence_s: float,
        io: str = "auto",
        packets_per_s: int = 500,
        relay: KernelRelay | None = None,
        first_stream: int = 0,
    ) -> None: ...
    def open(self, rtp_fd: int, rtcp_fd: int, ssrc: int, sequence: int, timestamp: int, cname: int, /) -> int: ...
    def configure(
        self,
        endpoint: int,
        address: str,
        port: int,
        payload_type: int,
        event_out: int,
        event_in: int,
        ptime_ms: int,
        rtcp_port: int,
        sending: bool,
        receiving: bool,
        nat: bool,
        mux: bool,
        signalling: str,
        srtp_suite: str,
        send_key: bytes,
        receive_key: bytes,
        codec: str = "",
        payload_type_in: int = 0,
        event_clock: int = 8000,
        bitrate: int = 0,
        fec: bool = False,
        /,
    ) -> None: ...
    def connect(self, a: int, b: int, digits: bool, /) -> None: ...
    def disconnect(self, a: int, b: int, /) -> None: ...
    def play(
        self, endpoints: tuple[int, ...], samples: tuple[bytes, ...], loop: bool, mix: bool, once: int, /
    ) -> int: ...
    def stop_play(self, playback: int, /) -> None: ...
    def record(self, left: int, right: int, stereo: bool, voices: bool, elapsed_ns: int, /) -> int: ...
    def file(self, recording: int, fd: int, written_bytes: int, /) -> None: ...
    def voices(self, recording: int, /) -> None: ...
    def close_recording(self, recording: int, /) -> None: ...
    def close(self, endpoint: int, /) -> None: ...
    def events(self) -> list[tuple[object, ...]]: ...
    def io(self) -> str: ...
    def lag(self) -> float: ...
    def take_precedence(self) -> bool: ...
    def fileno(self) -> int: ...
    def stop(self, seconds: float = 60.0, /) -> bool: ...
