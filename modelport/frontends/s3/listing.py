"""Lists: of objects, and of buckets."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import web

from modelport.errors import InvalidRequest
from modelport.frontends.s3.documents import OWNER, Markup, access_control, answer, element, iso_time, text
from modelport.frontends.s3.errors import S3Error
from modelport.frontends.s3.requests import Asked, Context, whole_number
from modelport.objectstore import ObjectInfo
from modelport.objectstore.walking import token_after

KEYS = 1000


async def list_objects(context: Context, asked: Asked) -> web.Response:
    """Of both versions: the first goes on from a key, `marker`."""
    params = asked.params
    second = "list-type" in params
    for name, legal in ("list-type", "2"), ("encoding-type", "url"):
        if params.get(name, legal) != legal:
            raise S3Error("InvalidArgument", f"{name} can only be {legal}.")
    encode = quote if "encoding-type" in params else str
    token, after = params.get("continuation-token", ""), params.get("start-after" if second else "marker", "")
    most = whole_number(asked, "max-keys", KEYS, 0, KEYS)
    infos, following = await _page(context, asked, (second and token) or token_after(after), most)
    own: dict[str, str | int | None] = {"Marker": encode(after)}
    if second:
        own = {"KeyCount": len(infos), "ContinuationToken": token or None, "StartAfter": encode(after) or None}
        own["NextContinuationToken"] = following or None
    elif following and infos:
        own["NextMarker"] = encode(infos[-1].key)
    owner = OWNER if not second or params.get("fetch-owner") == "true" else None
    return answer(
        "ListBucketResult",
        *(_contents(encode(info.key), info, owner) for info in infos if info.etag),
        *(element("CommonPrefixes", Prefix=encode(info.key)) for info in infos if not info.etag),
        Name=asked.bucket,
        Prefix=encode(params.get("prefix", "")),
        Delimiter=params.get("delimiter") or None,
        MaxKeys=most,
        EncodingType="url" if "encoding-type" in params else None,
        IsTruncated=str(bool(following)).lower(),
        **own,
    )


async def _page(context: Context, asked: Asked, token: str, most: int) -> tuple[list[ObjectInfo], str]:
    """Raises S3Error."""
    delimiter = asked.params.get("delimiter", "")
    if delimiter not in ("", "/"):
        raise S3Error("NotImplemented", "The delimiter can only be /.")
    if not most:
        return [], ""
    prefix = asked.params.get("prefix", "")
    try:
        return await context.tree.page(asked.bucket, prefix, token, folded=bool(delimiter), limit=most)
    except InvalidRequest as error:
        raise S3Error("InvalidArgument", "The continuation token is not correct.") from error


def _contents(key: str, info: ObjectInfo, owner: Markup | None) -> Markup:
    """Written out, as there may be a thousand: `element` takes five times as long."""
    return Markup(
        f"<Contents><Key>{text(key)}</Key><LastModified>{iso_time(info.modified)}</LastModified>"
        f"<ETag>&quot;{info.etag}&quot;</ETag><Size>{info.size_bytes}</Size>{owner or ''}"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


# Buckets


async def list_buckets(context: Context, asked: Asked) -> web.Response:
    """Those that the client's key reaches."""
    names = context.bucket_jobs.bucket_keys.bucket_names()
    if asked.buckets is not None:
        names = [name for name in names if name in asked.buckets]
    shown = [
        element("Bucket", Name=name, CreationDate=iso_time(made))
        for name, made in zip(names, await context.tree.made_at(names), strict=True)
    ]
    return answer("ListAllMyBucketsResult", OWNER, element("Buckets", *shown))


def locate_bucket(context: Context, asked: Asked) -> web.Response:
    region = context.settings.bucket_region
    return answer("LocationConstraint", "" if region == "us-east-1" else region)


def get_versioning(context: Context, asked: Asked) -> web.Response:
    """There never was any."""
    return answer("VersioningConfiguration")


def get_acl(context: Context, asked: Asked) -> web.Response:
    return access_control()


def head_bucket(context: Context, asked: Asked) -> web.Response:
    return web.Response(headers={"x-amz-bucket-region": context.settings.bucket_region})


def create_bucket(context: Context, asked: Asked) -> web.Response:
    """Buckets come and go with deployments. Clients that make sure that theirs is there find that it is."""
    return web.Response(headers={"Location": f"/{asked.bucket}"})
