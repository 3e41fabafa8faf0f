"""The logins that a request claims, from wherever a subscription's requests say them.

A login that cannot be read is a finding and not "no login": the service behind may be more
lenient in what it reads, and would then know a user whom nobody compared with the certificate.
"""

import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from aiohttp import hdrs
from multidict import CIMultiDictProxy

from extauthz.findings import Finding, Reason
from extauthz.login import (
    MAX_LENGTH,
    Basic,
    Bearer,
    Form,
    HeaderField,
    JsonBody,
    Jwt,
    Login,
    LoginSource,
    claimed,
)
from extauthz.request_path import readings
from extauthz.wire import form, json_body, jwt_payload
from extauthz.wire.media_type import MediaType

__all__ = ["MAX_LENGTH", "Body", "basic", "read"]

# A tab or nothing at all after the scheme is no Basic, but a lenient service may take it for one.
_BASIC = re.compile(r"basic(?:[ \t]+|\Z)", re.IGNORECASE)
# Whatever is no character of a scheme (RFC 9110 5.6.2) ends it.
_BEARER = re.compile(r"bearer(?![!#$%&'*+\-.^_`|~0-9a-z])", re.IGNORECASE)
# RFC 6750 2.1 with a JWS in compact form (RFC 7515 7.1).
_BEARER_JWS = re.compile(
    r"bearer +[a-z0-9_-]+\.(?P<payload>[a-z0-9_-]+)\.[a-z0-9_-]+", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Body:
    """What Envoy handed over of the body of a request."""

    octets: bytes
    is_whole: bool
    """False when Envoy was allowed to hand over no more of it."""


_Posted: TypeAlias = Form | JsonBody


def read(
    sources: Sequence[LoginSource],
    headers: CIMultiDictProxy[str],
    path: str,
    body: Body | None,
    query: str = "",
) -> tuple[Login | Finding, ...]:
    """What each source finds, in the order of the sources.

    `path` is without the query, and `body` is None where Envoy hands over none. No login is read
    from the query, but one that is there as well is a second one.
    """
    found: list[Login | Finding] = []
    reading: dict[_Posted, tuple[Login | Finding, ...]] | None = None
    for source in sources:
        if isinstance(source, Basic):
            found += basic(headers.getall(hdrs.AUTHORIZATION, ()))
        elif isinstance(source, HeaderField):
            found += _header(headers.getall(source.name, ()))
        elif isinstance(source, Jwt):
            found += _payload(source, headers.getall(source.header, ()))
        elif isinstance(source, Bearer):
            found += _bearer(source, headers)
        elif isinstance(source, (Form, JsonBody)):
            if reading is None:
                reading = _posted(sources, headers, path, body, query)
            found += reading.pop(source, ())
    return tuple(found)


def basic(authorization: Sequence[str]) -> tuple[Login | Finding, ...]:
    """The user name of HTTP Basic (RFC 7617), in UTF-8, from all Authorization fields.

    Other schemes claim nothing that could be read here.
    """
    if not authorization:
        return ()
    if len(authorization) > 1:
        return (_malformed("the request has more than one Authorization field"),)
    scheme = _BASIC.match(authorization[0])
    if scheme is None:
        return ()
    try:
        octets = binascii.a2b_base64(authorization[0][scheme.end() :], strict_mode=True)
        user, colon, _ = octets.decode("utf-8").partition(":")
    except ValueError:
        return (_malformed("the Basic credentials are not base64 of UTF-8"),)
    if not colon:
        return (_malformed("the Basic credentials have no colon"),)
    return (claimed(user, Basic.source),)


def _header(values: Sequence[str]) -> tuple[Login | Finding, ...]:
    if len(values) > 1:
        return (_malformed("the request has the header with the login more than once"),)
    return tuple(claimed(value, HeaderField.source) for value in values)


def _payload(source: Jwt | Bearer, values: Sequence[str]) -> tuple[Login | Finding, ...]:
    if len(values) > 1:
        return (_malformed("the request has the payload of a token more than once"),)
    claims = (jwt_payload.read(value, source.claim) for value in values)
    return tuple(
        claim if isinstance(claim, Finding) else claimed(claim, source.source) for claim in claims
    )


def _bearer(source: Bearer, headers: CIMultiDictProxy[str]) -> tuple[Login | Finding, ...]:
    """The claim of the token in Authorization, or of one that Envoy took away after verifying it.

    Envoy reads the first token of `Bearer TOKEN TOKEN`, and others the last one: a token counts
    when it is the one whose payload Envoy wrote.
    """
    authorization = headers.getall(hdrs.AUTHORIZATION, ())
    payloads = headers.getall(source.header, ())
    if len(authorization) > 1:
        return (_malformed("the request has more than one Authorization field"),)
    if authorization and _BEARER.match(authorization[0]):
        if not payloads:
            return (_malformed("Envoy verified no bearer token: is jwt_authn set up for it?"),)
        token = _BEARER_JWS.fullmatch(authorization[0])
        if token is None or token["payload"] != payloads[0].rstrip("="):
            return (_malformed("Envoy verified another token than the one in Authorization"),)
    return _payload(source, payloads)


def _posted(
    sources: Sequence[LoginSource],
    headers: CIMultiDictProxy[str],
    path: str,
    body: Body | None,
    query: str,
) -> dict[_Posted, tuple[Login | Finding, ...]]:
    """What the sources find that read bodies. What is wrong with the body is the first one's."""
    paths = readings(path)
    every = [source for source in sources if isinstance(source, (Form, JsonBody))]
    if paths is None:
        return {every[0]: (_malformed("the path is too long to say whether it is a login's"),)}
    here = [source for source in every if not paths.isdisjoint(source.loose_paths)]
    if not here:
        return {}
    if any(form.is_in_query(query, _field_name(source)) for source in here):
        return {here[0]: (_malformed("a login stands in the query"),)}
    if body is None:
        return {here[0]: (_malformed("Envoy does not hand over bodies of this path"),)}
    if not body.octets and body.is_whole:
        return {}
    media_type = _media_type(headers, body)
    if isinstance(media_type, Finding):
        return {here[0]: (media_type,)}
    fitting = [source for source in here if _fits(source, media_type)]
    if not fitting:
        return {here[0]: (_malformed("the body is of no media type that has a login here"),)}
    written = headers[hdrs.CONTENT_TYPE]
    return {source: tuple(_in_body(source, body.octets, written)) for source in fitting}


def _media_type(headers: CIMultiDictProxy[str], body: Body) -> MediaType | Finding:
    """The media type of a body that can be read as it stands."""
    if not body.is_whole:
        return _malformed("the body is larger than what Envoy hands over")
    codings = headers.getall(hdrs.CONTENT_ENCODING, ())
    if any(coding.lower() != "identity" for coding in codings):
        return _malformed("the body has a Content-Encoding")
    types = headers.getall(hdrs.CONTENT_TYPE, ())
    media_type = MediaType.parse(types[0]) if len(types) == 1 else None
    if media_type is None:
        return _malformed("the body has not exactly one Content-Type that can be read")
    return media_type


def _fits(source: _Posted, media_type: MediaType) -> bool:
    if isinstance(source, Form):
        return media_type.essence == form.ESSENCE
    return json_body.is_json(media_type)


def _in_body(source: _Posted, octets: bytes, content_type: str) -> Iterator[Login | Finding]:
    if isinstance(source, Form):
        found = form.read(octets, content_type, source.field)
    else:
        found = json_body.read(octets, content_type, source.pointer)
    if found is not None:
        yield found


def _field_name(source: _Posted) -> str:
    """What the source's place is called in a query, as PHP and Rails write objects."""
    if isinstance(source, Form):
        return source.field
    return "".join((*source.pointer[:1], *(f"[{token}]" for token in source.pointer[1:])))


def _malformed(detail: str) -> Finding:
    return Finding(Reason.LOGIN_MALFORMED, detail)
