"""Masked messages tell no number, no pressed key, no proof and no SRTP key, and are as long as they were."""

from __future__ import annotations

import pytest

from softswitch.tracing.masking import masked_message, without_keys


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (b"sip:+8613800001234@192.168.100.200:5060", b"sip:+86138****1234@192.168.100.200:5060"),
        (b"tel:138-0000-1234", b"tel:138-****-1234"),
        (b"12345678", b"****5678"),
        (b"sip:5551234@h", b"sip:****234@h"),  # a local number
        (b"tel:555-1234;phone-context=+86755", b"tel:***-*234;phone-context=+86755"),
        (b"CSeq: 5551234 INVITE", b"CSeq: 5551234 INVITE"),
        (b"sip:95588@h", b"sip:95588@h"),
        (b"<sip:192.168.100.200:5060>", b"<sip:192.168.100.200:5060>"),
        (b"<SIP:138.0000.1234@192.168.100.200>", b"<SIP:138.****.1234@192.168.100.200>"),
        (b"sip:%2B%38%36138%30%30001234@h", b"sip:%2B%38%36138%2A%2A**1234@h"),  # RFC 3261 19.1.2
        (b"sip:(138)%200000%2d1234@h", b"sip:(138)%20****%2d1234@h"),
        (b"sip:8670012345678901234@h", b"sip:86700123456****1234@h"),
        (b"<sip:h?X-For=%31%33%38%30%30%30%30%31%32%33%34>", b"<sip:h?X-For=%31%33%38%2A%2A%2A%2A%31%32%33%34>"),
        (b"From: +86 138 0000 1234 <sip:a@h>", b"From: +86 138 **** 1234 <sip:a@h>"),
        (b"From: 5551234 <sip:a@h>", b"From: ****234 <sip:a@h>"),
        (b"From:\r\n 138 0000 1234\r\n\t<sip:a@h>", b"From:\r\n 138 **** 1234\r\n\t<sip:a@h>"),
        (
            b"\r\nUser-to-User: 3133383030;encoding=hex,\r\n 31\r\nTo: x",  # RFC 7433
            b"\r\nUser-to-User: ************************\r\n **\r\nTo: x",
        ),
        (b"\nuser-to-user:00;pd=8\r\n", b"\nuser-to-user:*******\r\n"),
        (
            b"\r\nIdentity: eyJkZXN0.eyJ0biI6.c2ln;\r\n info=<https://c>\r\nTo: x",  # RFC 8224: both numbers, in base64
            b"\r\nIdentity: ***********************\r\n ****************\r\nTo: x",
        ),
        (b"\r\ny: eyJkZXN0.c2ln\r\n", b"\r\ny: *************\r\n"),
        (b'From: "Bob 138 0000 1234" <sip:a@h>', b'From: "Bob 138 **** 1234" <sip:a@h>'),
        (b'From: "a \\" 138 0000 1234" <sip:a@h>', b'From: "a \\" 138 **** 1234" <sip:a@h>'),
        (b"From: Bob\r\n +86 138 0000 1234 <sip:a@h>", b"From: Bob\r\n +86 138 **** 1234 <sip:a@h>"),
        (b"a: x <sip:a>, Bob 138/0000.1234\t<sip:b>", b"a: x <sip:a>, Bob 138/****.1234\t<sip:b>"),
        (b"From: 138\t0000\t1234 <sip:a@h>", b"From: 138\t****\t1234 <sip:a@h>"),
        (b"\r\ns=Call of 138 0000 1234\r\nt=0 0", b"\r\ns=Call of 138 **** 1234\r\nt=0 0"),
        (b"\ni=138 0000 1234\nc=IN IP4 10.0.0.1", b"\ni=138 **** 1234\nc=IN IP4 10.0.0.1"),
        (b"\r\nSubject : 138 0000 1234\r\n", b"\r\nSubject : 138 **** 1234\r\n"),
        (b"\r\ns: 138 0000 1234\r\n", b"\r\ns: 138 **** 1234\r\n"),
        (b"\r\nSubject: call\r\n 138 0000 1234\r\n", b"\r\nSubject: call\r\n 138 **** 1234\r\n"),
        (b"\ns=" + b"a" * 249 + b" 13800001234\n", b"\ns=" + b"a" * 249 + b" 138****1234\n"),
        (b"\r\nSubject: Tel.13800001234\r\n", b"\r\nSubject: Tel.138****1234\r\n"),
        (b'From: "Tel.13800001234" <sip:a@h>', b'From: "Tel.138****1234" <sip:a@h>'),
        (b"From: Tel.13800001234 <sip:a@h>", b"From: Tel.138****1234 <sip:a@h>"),
        (b"\r\ns=1 2 3\r\nt=3900000000 0", b"\r\ns=1 2 3\r\nt=39****0000 0"),
        (b'"10.20.30.40 port 5060"', b'"10.20.30.40 port 5060"'),
        (b"sip:138*0000_1234@h", b"sip:138*****_1234@h"),
        (b"sip:138%2A0000%5f1234@h", b"sip:138%2A****%5f1234@h"),
        (b"Call-ID: 13800001234-1712345678@h", b"Call-ID: 138****1234-17****5678@h"),
        (b"sip:13800001234*123@h", b"sip:138****1234*123@h"),
        (b"tel:138*0000*1234", b"tel:138******1234"),
        (b"x=138_0000*1234", b"x=138_*****1234"),
        (b"m=audio 20000 RTP/AVP 8", b"m=audio 20000 RTP/AVP 8"),
        (b'Digest username="u", response="0123abcd"', b'Digest username="u", response="********"'),
        (b'Digest Response = "0123abcd", qop=auth', b'Digest Response = "********", qop=auth'),
        (b"Authorization: Basic dXNlcjpwYXNz\r\n", b"Authorization: Basic ************\r\n"),
        (b"Proxy-Authorization: bearer abc.def\r\n", b"Proxy-Authorization: bearer *******\r\n"),
        (b"a=crypto:1 AES inline:WVNfX19z|2^20", b"a=crypto:1 AES inline:********|2^20"),
        (b"a=crypto:1 AES INLINE:WVN+/19=;inline:abc WSH=9", b"a=crypto:1 AES INLINE:********;inline:*** WSH=9"),
        (b"a=crypto:1 AES inline: WVN+/19=", b"a=crypto:1 AES inline: ********"),  # wrong, and a key all the same
        (b"a=key-mgmt:mikey AQAFgM0=", b"a=key-mgmt:mikey ********"),  # RFC 4567
        (b"a=key-mgmt: mikey AQAFgM0=", b"a=key-mgmt: mikey ********"),
        (b"t=0 0\r\nk=base64:WVN+/19=", b"t=0 0\r\nk=base64:********"),  # RFC 8866 5.12
        (b"v=0\nk=clear:secret\n", b"v=0\nk=clear:******\n"),
        (b"tel:+86(138)0000.1234", b"tel:+86(138)****.1234"),  # RFC 3966 5.1.1: visual separators
        (b'From: "+86 138 0000 1234" <sip:a@h>', b'From: "+86 138 **** 1234" <sip:a@h>'),
        (b'"138.0000 (1234)" tel:1.2', b'"138.**** (1234)" tel:1.2'),
        (b'realm="192.168.100.200"', b'realm="192.168.100.200"'),
        (b"\r\n\r\nSignal= 5\r\nDuration=160\r\n", b"\r\n\r\nSignal= *\r\nDuration=160\r\n"),
        (b"\r\n\r\nsignal=#\r\nDuration=160\r\n", b"\r\n\r\nsignal=*\r\nDuration=160\r\n"),
        (b"INFO sip:a@h\r\nc: application/DTMF\r\n\r\n7", b"INFO sip:a@h\r\nc: application/DTMF\r\n\r\n*"),
        (
            b"INFO sip:a\r\nContent-Type: application/dtmf;x=1\r\n\r\n12#",
            b"INFO sip:a\r\nContent-Type: application/dtmf;x=1\r\n\r\n***",
        ),
        (
            b"INVITE sip:a\r\nContent-Type: application/sdp\r\n\r\nv=0",
            b"INVITE sip:a\r\nContent-Type: application/sdp\r\n\r\nv=0",
        ),
    ],
)
def test_numbers_proofs_and_keys_are_starred_at_their_length(text: bytes, masked: bytes) -> None:
    assert masked_message(text) == masked
    assert len(masked) == len(text)


ISUP = b"\x01\x10\x83\x10\x31\x08\x00\x00\r\n--\x21\x43"  # RFC 3204: digits two a byte
SDP = b"v=0\r\nc=IN IP4 10.0.0.1\r\n"


@pytest.mark.parametrize(
    ("header", "body", "shown"),
    [
        (b"Content-Type: application/ISUP;version=itu-t92+", ISUP, b"*" * len(ISUP)),
        (b"c:application/qsig", ISUP, b"*" * len(ISUP)),
        (b"Content-Type: application/sdp", SDP, SDP),
        (b"Content-Type: application/pidf+xml", b"<a/>", b"<a/>"),
        (b"Content-Type: text/plain\r\nContent-Encoding: gzip", b"\x1f\x8b", b"**"),
        (b"e: identity\r\nContent-Type: text/plain", b"hello", b"hello"),
        (b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64", b"MTM4MDAwMDEyMzQ=", b"*" * 16),
        (b"Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit", b"hello", b"hello"),
        (b"Content-Type: multipart/mixed", SDP, b"*" * len(SDP)),
        (b"Content-Length: 3", b"abc", b"abc"),
        (
            b'Content-Type: multipart/mixed; boundary="b 1"',
            b"--b 1\r\nContent-Type: application/sdp\r\n\r\n" + SDP + b"\r\n--b 1\r\n"
            b"Content-Type: application/isup\r\n\r\n" + ISUP + b"\r\n--b 1--\r\n",
            b"--b 1\r\nContent-Type: application/sdp\r\n\r\n" + SDP + b"\r\n--b 1\r\n"
            b"Content-Type: application/isup\r\n\r\n" + b"*" * len(ISUP) + b"**--b 1--\r\n",
        ),
        (
            b"Content-Type: multipart/mixed;boundary=b",
            b"--b\r\nContent-Type: multipart/mixed;boundary=c\r\n\r\n--c\r\n--b--",
            b"--b\r\nContent-Type: multipart/mixed;boundary=c\r\n\r\n*****--b--",
        ),
    ],
)
def test_a_body_that_is_no_text_shows_its_type_and_length_alone(header: bytes, body: bytes, shown: bytes) -> None:
    head = b"INVITE sip:a@h SIP/2.0\r\n" + header + b"\r\nVia: x\r\n\r\n"
    assert masked_message(head + body) == head + shown


@pytest.mark.parametrize(
    "text",
    [
        b'"' * 32000,
        b'"' + b"\\" * 32000,
        b":" + b" 1" * 16000,
        b":aaaaaaa" * 4000,
        b"sip:" * 8000,
        b"sip:" + b"1." * 16000,
        b'"' + b"1 " * 16000,
        b":" + b"1" * 32000,
        b"key-mgmt:" * 7000,
        b'\\"' * 32000,
        b"\ns=" * 20000,
        b"\ns=" + b"1 " * 30000,
    ],
)
def test_no_message_takes_long(text: bytes) -> None:
    assert len(masked_message(text)) == len(text)  # seconds, where each begin of a URI is looked at to the end


def test_keys_alone_may_be_starred() -> None:
    """RFC 4568 9: who has the key can listen."""
    text = b"INVITE sip:+8613800001234@h SIP/2.0\r\n\r\na=crypto:1 AES inline:WVNfX19z\r\n"
    assert without_keys(text) == text.replace(b"WVNfX19z", b"********")
