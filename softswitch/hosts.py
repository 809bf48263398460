"""What can be a host: a name of RFC 1123, or an address.

Asked by config.py and routing/fields.py for what people write. It resolves nothing.
"""

from __future__ import annotations

import ipaddress
import re

# RFC 3261 25.1, and the underscore that DNS has too: the last of several labels begins with a letter, else an address
# with a slip in it would be a name. One label alone (of a hosts file) may be "3cx", as RFC 1123 2.1 has it.
_NAME = re.compile(r"(?:\w(?:[\w-]*\w)?\.)*[A-Za-z_](?:[\w-]*\w)?\.?|(?=[0-9-]*[A-Za-z_])\w(?:[\w-]*\w)?", re.ASCII)


def is_host(value: str) -> bool:
    """A name or an address without brackets; what has a port, or five numbers, is none: DNS would be asked for it."""
    try:
        return bool(_NAME.fullmatch(value) or ("%" not in value and ipaddress.ip_address(value)))
    except ValueError:
        return False
