"""Failures of an S3 server as sentences: what is wrong, where, and the cure.

Only what is named here is passed on. A server's answer may quote the access key, the string that
was signed, or headers; none of that may reach a log.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_PERMISSION = {
    "listed": "s3:ListBucket",
    "read": "s3:GetObject",
    "written": "s3:PutObject",
    "removed": "s3:DeleteObject",
}

_CREDENTIALS = (
    "{address} does not accept the credentials ({code}): check MINIO_ACCESS_KEY and "
    "MINIO_SECRET_KEY."
)
_REGION = "{place} lies in another region ({code}): set AWS_REGION."

# by the code that the server answers
_BY_CODE = {
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "InvalidTokenId": _CREDENTIALS,
    "ExpiredToken": _CREDENTIALS,
    "AuthorizationHeaderMalformed": _REGION,
    "PermanentRedirect": _REGION,
    "AccessDenied": "{place} may not be {done} with these credentials ({code}): allow their user "
    "{permission} on it.",
    "NoSuchBucket": "{place} is not there ({code}): create the bucket, or change the place in "
    "globals.yml.",
    "RequestTimeTooSkewed": "The clock of this machine and that of {address} differ too much "
    "({code}): set the clock.",
}
_BUSY = (
    "{address} is too busy or out of order, and answered {answer} again and again ({retries} "
    "retries within {retry_seconds} s) when {place} was to be {done}: run again later."
)
_OTHER_ANSWER = (
    "{place} cannot be {done}, {address} answered {answer}: check MINIO_ENDPOINT and the place "
    "in globals.yml."
)

_NO_CERTIFICATE = "MINIO_CA_FILE has no certificate in PEM form for {address}: name another file."

# by the first of these that the client's error has
_BY_ERROR = {
    "No certificates found": _NO_CERTIFICATE,
    "kind: Builder": _NO_CERTIFICATE,
    "Expired": "The certificate of {address} has expired: renew it.",
    "NotValid": "The certificate of {address} is made out to another name or is not valid yet: "
    "renew it, or check MINIO_ENDPOINT.",
    "CaUsedAsEndEntity": "The certificate of {address} is that of an authority, not of a server: "
    "give the server one with CA:FALSE.",
    "InvalidCertificate": "The certificate of {address} is not trusted, for this machine does not "
    "know its authority: set MINIO_CA_FILE to the file of the authority's certificate.",
    "InvalidContentType": "{address} does not speak TLS: write http:// in MINIO_ENDPOINT, or give "
    "the server a certificate.",
    "Error parsing Path": "{place} has an object whose name has a control character, an empty "
    "part (//) or a part . or ..: rename it.",
    "dns error": "{address} cannot be reached (no such host): check MINIO_ENDPOINT.",
    "ConnectionRefused": "{address} cannot be reached (connection refused): start the server, or "
    "check MINIO_ENDPOINT.",
    "kind: Connect": "{address} cannot be reached: check MINIO_ENDPOINT and the network.",
    "TimedOut": "{address} is too slow and sent nothing for {stall_seconds} s, again and again, "
    "when {place} was to be {done}: run again later, or raise s3.stall_seconds in globals.yml.",
}
_BROKEN_OFF = (
    "The connection to {address} broke off again and again when {place} was to be {done}: run "
    "again."
)


class Server(NamedTuple):
    """What a sentence may say of a server.

    Attributes:
        address: Its address.
        options: Time-outs and retries, by name: see ``s3.S3ClientOptions``.
    """

    address: str
    options: dict[str, Any]


def refusal(server: Server, done: str, place: str, error: str) -> str:
    """Say why ``place`` cannot be listed, read, written or removed.

    Args:
        server: The server that was asked.
        done: What cannot be done: a key of ``_PERMISSION``.
        place: The bucket or object.
        error: What the client says.
    """
    code, status = _found(_CODE, error), _found(_STATUS, error)
    return _sentence(code, status, error).format(
        address=server.address,
        place=place,
        done=done,
        code=code,
        answer=" ".join(filter(None, [status, code])),
        permission=_PERMISSION[done],
        **server.options,
    )


def _sentence(code: str, status: str, error: str) -> str:
    if code in _BY_CODE:
        return _BY_CODE[code]
    if status.startswith("5") or status == "429":
        return _BUSY
    if code or status:
        return _OTHER_ANSWER
    return next((said for sign, said in _BY_ERROR.items() if sign in error), _BROKEN_OFF)


def _found(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""
