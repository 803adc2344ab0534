"""Objects of a bucket whose keys the quick client cannot say.

It refuses control characters, empty parts (``//``), ``.`` and ``..``, sees a replacement character
where XML has no such letter, and no slash at either end. The SDK of S3 asks for keys in
an encoding, so they come as they are; it lists at a tenth of the speed, and is loaded only for
these.
"""

from __future__ import annotations

import contextlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore import ObjectMeta

    from lingokids.storage.s3 import Client

_SLASHES = ("{}/", "/{}")


class OddKeys:
    """Lists and reads a bucket, or a folder of it, whatever its keys.

    Args:
        client: The quick client of the same place.
        credentials: See ``s3.Client``.
    """

    def __init__(self, client: Client, credentials: dict[str, Any]) -> None:
        self._options, self._credentials = client.options, credentials
        bucket, _, folder = client.url.removeprefix("s3://").partition("/")
        self._bucket, self._prefix = bucket, f"{folder}/" if folder else ""

    @cached_property
    def _sdk(self) -> Any:
        from botocore.config import Config
        from botocore.session import Session

        client = self._credentials.get("client_kwargs") or {}
        return Session().create_client(
            "s3",
            endpoint_url=client.get("endpoint_url"),
            region_name=client.get("region_name") or "us-east-1",
            verify=client.get("verify"),
            aws_access_key_id=str(self._credentials["key"]),
            aws_secret_access_key=str(self._credentials["secret"]),
            aws_session_token=self._credentials.get("token"),
            config=Config(
                connect_timeout=self._options.connect_seconds,
                read_timeout=self._options.stall_seconds,
                retries={"total_max_attempts": self._options.retries + 1, "mode": "standard"},
            ),
        )

    def list(self, after: str) -> Iterator[ObjectMeta]:
        """The objects whose key is greater than ``after``, as the quick client describes them.

        A slash at either end is left out, as by the quick client: an object has one name.
        """
        pages = self._sdk.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix, StartAfter=self._prefix + after
        )
        with _as_quick_client():
            for page in pages:
                for found in page.get("Contents", ()):
                    key = found["Key"].removeprefix(self._prefix)
                    key = key.removeprefix("/").removesuffix("/")
                    if key and key != after:
                        yield {
                            "path": key,
                            "e_tag": found["ETag"],
                            "size": found["Size"],
                            "last_modified": found["LastModified"],
                            "version": None,
                        }

    def get(self, key: str, options: dict[str, Any]) -> bytes | None:
        """The content of an object, with the options of the quick client; None: it is gone."""
        asked = {"IfMatch": options["if_match"]} if "if_match" in options else {}
        if "range" in options:
            start, end = options["range"]
            asked["Range"] = f"bytes={start}-{end - 1}"
        for form in ("{}", *_SLASHES):
            with contextlib.suppress(FileNotFoundError), _as_quick_client():
                name = self._prefix + form.format(key)
                got = self._sdk.get_object(Bucket=self._bucket, Key=name, **asked)
                return bytes(got["Body"].read())
        return None


@contextlib.contextmanager
def _as_quick_client() -> Iterator[None]:
    """Raise the SDK's errors as the quick client does, for ``s3.Client.refusing``."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if code in {"NoSuchKey", "PreconditionFailed", "404", "412"}:
            raise FileNotFoundError from None
        raise OSError(f"<Code>{code}</Code> status code: {status}") from None
    except BotoCoreError as error:
        raise OSError(str(error)) from None
