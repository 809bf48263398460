"""Writes a parsed session description again: what was read must be what is written (RFC 8866 5)."""

from __future__ import annotations

from softswitch.sdp.description import Attribute, Connection, Description


def written(description: Description) -> bytes:
    """The description as bytes, fields in the order of RFC 8866 5."""
    origin = description.origin
    maker = f"{origin.username} {origin.session_id} {origin.version} IN {origin.family} {origin.address}"
    lines = ["v=0", f"o={maker}", f"s={description.session_name}", *_connection(description.connection)]
    lines += [f"t={description.timing}", *_attributes(description.attributes)]
    for media in description.media:
        count = f"/{media.port_count}" if media.port_count != 1 else ""
        lines.append(f"m={media.media} {media.port}{count} {media.protocol} {' '.join(media.formats)}")
        lines += [*_connection(media.connection), *_attributes(media.attributes)]
        lines += [f"a=crypto:{value}" for value in media.crypto]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")


def _connection(connection: Connection | None) -> list[str]:
    return [] if connection is None else [f"c=IN {connection.family} {connection.address}"]


def _attributes(attributes: tuple[Attribute, ...]) -> list[str]:
    return [f"a={name}" if value is None else f"a={name}:{value}" for name, value in attributes]
