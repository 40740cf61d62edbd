"""Object storage in memory that speaks the part of S3's protocol that we use.

It checks no signatures; it runs on a thread of its own, on a port of the loopback interface.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, unescape

from aiohttp import web

from tests.stand_ins.serving import listening, on_a_thread

if TYPE_CHECKING:
    from collections.abc import Iterator


class Bucket:
    """The objects of one bucket, and what was asked of it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.url = ""
        self.refuses = False
        """Answer everything with 503."""

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        if self.refuses:
            return web.Response(status=503)
        name = request.match_info.get("name", "")
        if "list-type" in request.query:
            return self._listing(request.query.get("prefix", ""))
        if request.method == "PUT":
            self.objects[name] = await request.read()
            return web.Response(headers={"ETag": _tag(self.objects[name])})
        if "delete" in request.query:
            return self._deleted(await request.text())
        return self._object(name)

    def _deleted(self, xml: str) -> web.Response:
        names = [unescape(name) for name in re.findall(r"<Key>(.*?)</Key>", xml)]
        for name in names:
            self.objects.pop(name, None)
        items = "".join(f"<Deleted><Key>{escape(name)}</Key></Deleted>" for name in names)
        text = f"<DeleteResult>{items}</DeleteResult>"
        return web.Response(text=text, content_type="application/xml")

    def _object(self, name: str) -> web.Response:
        data = self.objects.get(name)
        if data is None:
            return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>")
        headers = {"ETag": _tag(data), "Last-Modified": "Sun, 22 Nov 2026 08:00:00 GMT"}
        return web.Response(body=data, headers=headers)

    def _listing(self, prefix: str) -> web.Response:
        items = "".join(
            f"<Contents><Key>{escape(name)}</Key><LastModified>2026-11-22T08:00:00.000Z"
            f"</LastModified><ETag>{_tag(data)}</ETag><Size>{len(data)}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for name, data in sorted(self.objects.items())
            if name.startswith(prefix)
        )
        xml = f"<ListBucketResult><IsTruncated>false</IsTruncated>{items}</ListBucketResult>"
        return web.Response(text=xml, content_type="application/xml")


def _tag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


@contextmanager
def s3_bucket() -> Iterator[Bucket]:
    """Run the storage while the block runs; `bucket.url` is its endpoint."""
    bucket, app = Bucket(), web.Application(client_max_size=1 << 28)
    app.router.add_route("*", "/bucket/{name:.*}", bucket.handle)
    app.router.add_route("*", "/bucket", bucket.handle)
    with on_a_thread(listening(app)) as bucket.url:
        yield bucket
