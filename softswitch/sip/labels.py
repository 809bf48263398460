"""Methods and statuses: the words of a status (RFC 3261 21), and a bounded set to count by, whatever anybody writes.

Called by the core for each message in and out, and by who writes responses. It only names.
"""

from __future__ import annotations

from collections.abc import Callable

REASONS: dict[int, str] = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    199: "Early Dialog Terminated",
    200: "OK",
    202: "Accepted",
    204: "No Notification",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    412: "Conditional Request Failed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    428: "Use Identity Header",
    433: "Anonymity Disallowed",
    438: "Invalid Identity Header",
    469: "Bad Info Package",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    580: "Precondition Failure",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
    607: "Unwanted",
}

KNOWN = frozenset(
    {
        *("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE", "PRACK"),
        *("REFER", "MESSAGE", "NOTIFY", "REGISTER", "SUBSCRIBE", "PUBLISH"),
    }
)
OTHER = "other"


class _Methods(dict[str, str]):
    def __missing__(self, method: str) -> str:
        return OTHER


class _Statuses(dict[int, int]):
    def __missing__(self, status: int) -> int:
        return status // 100 * 100


# The method, `other` where it is none that we know.
folded: Callable[[str], str] = _Methods(zip(KNOWN, KNOWN, strict=True)).__getitem__
# The status, the first of its class (x00) where it is none that we know (RFC 3261 8.1.3.2).
folded_status: Callable[[int], int] = _Statuses(zip(REASONS, REASONS, strict=True)).__getitem__
