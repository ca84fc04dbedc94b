"""Where the objects lie: in a folder of this machine, or elsewhere."""

from __future__ import annotations

import importlib.util

from modelport.errors import BucketUnavailable
from modelport.objectstore import ObjectStore
from modelport.objectstore.requests import Connection
from modelport.objectstore.tree import Tree
from modelport.settings import Settings


async def open_store(settings: Settings) -> ObjectStore:
    """Raises OSError, and BucketUnavailable where the package for another service is not installed."""
    if not settings.bucket_endpoint:
        tree = Tree(settings.buckets_path, settings.least_room_bytes, settings.bucket_timeout_s)
        await tree.start()
        return tree
    if importlib.util.find_spec("obstore") is None:
        raise BucketUnavailable("another S3 service (bucket_endpoint) needs obstore: pip install 'modelport[buckets]'")
    from modelport.objectstore.remote import RemoteStore

    keys = settings.bucket_access_key, settings.bucket_secret_key
    return RemoteStore(Connection(settings.bucket_endpoint, *keys, settings.bucket_region), settings.bucket_timeout_s)
