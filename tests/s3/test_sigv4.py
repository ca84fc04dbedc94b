"""Signature version 4, against botocore's own signer."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from modelport.objectstore import sigv4

HOST = "127.0.0.1:9000"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

# What has broken signers before: blanks, signs of URLs, other scripts, dots and slashes that a URL library would eat.
ODD = st.sampled_from(
    [
        "a",
        " ",
        "+",
        "%",
        "%20",
        "/",
        "//",
        "..",
        "/../",
        "./",
        "~",
        "=",
        "&",
        "?",
        "é",
        "日本",
        "😀",
        "*",
        "'",
        "(",
        ";",
        ":",
        "@",
        ",",
        '"',
    ]
)
TEXTS = st.lists(ODD, max_size=8).map("".join) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
QUERIES = st.lists(st.tuples(st.sampled_from(["prefix", "list-type", "uploads", "marker", "é"]), TEXTS), max_size=4)
ACCESS_KEYS = st.sampled_from(["key", "svc-1a2b", "user@egi.eu", "a/b/c@aai.example", "digits-0f/x.y_z"])
REGIONS = st.sampled_from(["us-east-1", "", "eu-west-3", "anywhere at all"])


def target(key: str, query: list[tuple[str, str]]) -> str:
    """The URL as botocore's clients make it."""
    pairs = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query)
    return f"http://{HOST}/bucket/{quote(key, safe='/~')}" + (f"?{pairs}" if pairs else "")


def botocore_signed(
    method: str, url: str, access_key: str, region: str, headers: dict[str, str] | None = None, *, expires: int = 0
) -> AWSRequest:
    request = AWSRequest(method, url, headers={"Host": HOST, **(headers or {})})
    request.context["payload_signing_enabled"] = True
    credentials = Credentials(access_key, SECRET)
    if expires:
        S3SigV4QueryAuth(credentials, "s3", region, expires).add_auth(request)
    else:
        S3SigV4Auth(credentials, "s3", region).add_auth(request)
    return request


def checked(
    method: str, url: str, headers: CIMultiDict[str], secret: str = SECRET, now: datetime | None = None
) -> sigv4.Claim:
    """The claim of a request that has a right signature. Raises BadSignature."""
    parts = urlsplit(url)
    query = sigv4.decode_query(parts.query)
    claim = sigv4.read(headers, query)
    sigv4.check(claim, secret, method, parts.path, query, list(headers.items()), now=now)
    return claim


def code_of(call: object, *arguments: object, **more: object) -> str:
    with pytest.raises(sigv4.BadSignature) as caught:
        call(*arguments, **more)  # type: ignore[operator]
    return caught.value.code


@given(st.sampled_from(["GET", "PUT", "DELETE"]), TEXTS, QUERIES, ACCESS_KEYS, REGIONS)
def test_what_botocore_signs_is_right(
    method: str, key: str, query: list[tuple[str, str]], access_key: str, region: str
) -> None:
    request = botocore_signed(method, target(key, query), access_key, region, {"x-amz-meta-note": "two  blanks"})
    claim = checked(method, request.url, CIMultiDict(request.headers.items()))
    assert (claim.access_key, claim.scope.split("/")[1]) == (access_key, region)


@given(TEXTS, ACCESS_KEYS, REGIONS)
def test_what_botocore_presigns_is_right(key: str, access_key: str, region: str) -> None:
    request = botocore_signed("GET", target(key, []), access_key, region, expires=60)
    assert checked("GET", request.url, CIMultiDict(Host=HOST)).access_key == access_key


@given(TEXTS, QUERIES, ACCESS_KEYS, REGIONS)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_we_sign_as_botocore_does(key: str, query: list[tuple[str, str]], access_key: str, region: str) -> None:
    url = target(key, query)
    theirs = botocore_signed("PUT", url, access_key, region, {"x-amz-meta-note": " two  blanks "})
    now = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = sigv4.sign(
        "PUT",
        url,
        {"x-amz-meta-note": "two  blanks"},
        access_key,
        SECRET,
        region,
        payload_hash=theirs.headers["X-Amz-Content-SHA256"],
        now=now,
    )
    assert ours["authorization"] == theirs.headers["Authorization"]


@given(TEXTS, QUERIES, ACCESS_KEYS, REGIONS)
def test_what_we_sign_and_presign_is_right(
    key: str, query: list[tuple[str, str]], access_key: str, region: str
) -> None:
    url = target(key, query)
    headers = CIMultiDict(sigv4.sign("PUT", url, {"Content-Type": "a/b"}, access_key, SECRET, region))
    assert checked("PUT", url, headers).access_key == access_key
    signed = sigv4.presign("PUT", url, access_key, SECRET, region, 60, {"Content-Type": "a/b"})
    headers = CIMultiDict({"Host": HOST, "content-type": "a/b"})
    assert checked("PUT", signed, headers).expires_s == 60
    assert code_of(checked, "PUT", signed, CIMultiDict(Host=HOST)) == "SignatureDoesNotMatch"


@given(TEXTS, ACCESS_KEYS)
def test_another_path_method_or_secret_is_not_what_was_signed(key: str, access_key: str) -> None:
    url = target(key, [("prefix", "a")])
    headers = CIMultiDict(sigv4.sign("GET", url, {}, access_key, SECRET, "us-east-1"))
    for other in (target(f"{key}x", [("prefix", "a")]), target(key, [("prefix", "b")]), target(key, [])):
        assert code_of(checked, "GET", other, headers) == "SignatureDoesNotMatch"
    assert code_of(checked, "PUT", url, headers) == "SignatureDoesNotMatch"
    assert code_of(checked, "GET", url, headers, "another secret") == "SignatureDoesNotMatch"


def test_a_path_may_be_encoded_in_any_way() -> None:
    """Clients differ in what they encode; all of these are the key a(b)/c d."""
    headers = CIMultiDict(sigv4.sign("GET", f"http://{HOST}/b/a%28b%29/c%20d", {}, "key", SECRET, ""))
    for path in ("/b/a(b)/c%20d", "/b/%61(b%29%2fc%20d", "/b/a%28b%29/c%20d"):
        assert checked("GET", f"http://{HOST}{path}", headers).access_key == "key"


def test_a_plus_in_a_query_is_a_blank() -> None:
    headers = CIMultiDict(sigv4.sign("GET", f"http://{HOST}/b?prefix=a%20b", {}, "key", SECRET, ""))
    assert checked("GET", f"http://{HOST}/b?prefix=a+b", headers).access_key == "key"


def test_a_clock_may_be_off_by_a_quarter_of_an_hour() -> None:
    now = datetime.now(UTC)
    url = f"http://{HOST}/b/k"
    headers = CIMultiDict(sigv4.sign("GET", url, {}, "key", SECRET, "", now=now))
    for minutes in (-14.9, 0, 14.9):
        checked("GET", url, headers, now=now + timedelta(minutes=minutes))
    for minutes in (-15.1, 15.1):
        code = code_of(checked, "GET", url, headers, now=now + timedelta(minutes=minutes))
        assert code == "RequestTimeTooSkewed"


def test_a_presigned_url_expires() -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    url = sigv4.presign("GET", f"http://{HOST}/b/k", "key", SECRET, "", 60, now=now)
    headers = CIMultiDict(Host=HOST)
    for seconds in (-600, 0, 60):
        checked("GET", url, headers, now=now + timedelta(seconds=seconds))
    for seconds in (-901, 61):
        assert code_of(checked, "GET", url, headers, now=now + timedelta(seconds=seconds)) == "AccessDenied"


@pytest.mark.parametrize("expires", ["0", "-1", "604801", "", "1e3", "٣", "9" * 5000])
def test_a_presigned_url_is_good_for_a_second_to_a_week(expires: str) -> None:
    url = sigv4.presign("GET", f"http://{HOST}/b/k", "key", SECRET, "", 60)
    changed = url.replace("X-Amz-Expires=60", f"X-Amz-Expires={quote(expires)}")
    assert code_of(checked, "GET", changed, CIMultiDict(Host=HOST)) == "AuthorizationQueryParametersError"
    with pytest.raises(ValueError, match="604800"):
        sigv4.presign("GET", url, "key", SECRET, "", 604801)


def test_a_header_that_means_something_must_be_signed() -> None:
    url = f"http://{HOST}/b/k"
    headers = CIMultiDict(sigv4.sign("PUT", url, {}, "key", SECRET, ""))
    for name in ("x-amz-copy-source", "X-Amz-Meta-Note", "x-amz-checksum-crc32"):
        assert code_of(checked, "PUT", url, CIMultiDict([*headers.items(), (name, "x")])) == "AccessDenied"
    checked("PUT", url, CIMultiDict([*headers.items(), ("x-amz-user-agent", "x"), ("X-Amzn-Trace-Id", "x")]))


def test_the_time_must_be_signed() -> None:
    url = f"http://{HOST}/b/k"
    headers = CIMultiDict(sigv4.sign("GET", url, {}, "key", SECRET, ""))
    headers["authorization"] = headers["authorization"].replace(";x-amz-date", "")
    assert code_of(checked, "GET", url, headers) == "AccessDenied"


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("", "AccessDenied"),
        ("AWS key:signature", "InvalidRequest"),
        ("Bearer token", "InvalidRequest"),
        ("AWS4-HMAC-SHA256", "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 Credential=key", "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 Credential=key/20260101//s3/aws4_request", "AuthorizationHeaderMalformed"),
        (
            f"AWS4-HMAC-SHA256 Credential=k/20261122//ec2/aws4_request,SignedHeaders=host,Signature={'0' * 64}",
            "AuthorizationHeaderMalformed",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=k/20261122//s3/aws4_request,SignedHeaders=host,Signature=0",
            "AuthorizationHeaderMalformed",
        ),
        (
            f"AWS4-HMAC-SHA256 Credential=k/20261122//s3/aws4_request,SignedHeaders=x,Signature={'0' * 64}",
            "AuthorizationHeaderMalformed",
        ),
        (f"AWS4-HMAC-SHA256 ====,,,;=;Credential=////,Signature={'é' * 64}", "AuthorizationHeaderMalformed"),
    ],
)
def test_a_broken_authorization_is_named(authorization: str, code: str) -> None:
    headers = CIMultiDict({"Host": HOST, "x-amz-date": "20261122T000000Z", "x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
    if authorization:
        headers["Authorization"] = authorization
    assert code_of(checked, "GET", f"http://{HOST}/b/k", headers) == code


@pytest.mark.parametrize("date", ["", "20261340T000000Z", "20261122", "yesterday", "２０２６1122T000000Z"])
def test_a_broken_date_is_named(date: str) -> None:
    headers = CIMultiDict(sigv4.sign("GET", f"http://{HOST}/b/k", {}, "key", SECRET, ""))
    headers["x-amz-date"] = date
    assert code_of(checked, "GET", f"http://{HOST}/b/k", headers) in ("AccessDenied", "AuthorizationHeaderMalformed")


def test_version_2_is_refused_with_advice() -> None:
    """boto3 makes such URLs unless it is told otherwise."""
    url = f"http://{HOST}/b/k?AWSAccessKeyId=key&Signature=x&Expires=9999999999"
    with pytest.raises(sigv4.BadSignature, match="s3v4"):
        checked("GET", url, CIMultiDict(Host=HOST))


def test_a_proxy_may_give_the_host_another_name() -> None:
    url = "https://buckets.example/b/k"
    headers = CIMultiDict(sigv4.sign("GET", url, {}, "key", SECRET, ""))
    headers["host"] = "10.0.0.7:9000"
    claim = sigv4.read(headers, [])
    for hosts in ((), ("another.example",)):
        with pytest.raises(sigv4.BadSignature):
            sigv4.check(claim, SECRET, "GET", "/b/k", [], list(headers.items()), hosts=hosts)
    sigv4.check(claim, SECRET, "GET", "/b/k", [], list(headers.items()), hosts=("buckets.example",))


def test_the_examples_of_the_documentation() -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html: a body in signed pieces."""
    key = sigv4.signing_key("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524/us-east-1/s3/aws4_request")
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    start = sigv4.Seed(key, "20130524/us-east-1/s3/aws4_request", "20130524T000000Z", seed)
    first = sigv4.piece_signature(start, seed, hashlib.sha256(b"a" * 65536).hexdigest())
    assert first == "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"
    second = sigv4.piece_signature(start, first, hashlib.sha256(b"a" * 1024).hexdigest())
    assert second == "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
    assert sigv4.piece_signature(start, second, sigv4.EMPTY_HASH) == (
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
    )
