"""An image among the side information: what a model that can see is shown."""

from __future__ import annotations

import base64
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretune.core.errors import Misconfigured


@dataclass
class Image:
    """One image, given by exactly one of `url`, `path` and `base64_data`.

    `media_type` ("image/png") is needed with `base64_data`; of a path it is guessed from the name.
    Raises Misconfigured.
    """

    url: str | None = None
    path: str | None = None
    base64_data: str | None = None
    media_type: str | None = None

    def __post_init__(self) -> None:
        given = [source for source in (self.url, self.path, self.base64_data) if source is not None]
        if len(given) != 1:
            raise Misconfigured("Image", f"give one of url, path and base64_data, not {len(given)}")
        if self.base64_data is not None and self.media_type is None:
            raise Misconfigured("media_type", "say which kind of image base64_data is, as 'image/png'")

    def to_openai_content_part(self) -> dict[str, Any]:
        """A part of a chat message. A path is read now: raises OSError."""
        return {"type": "image_url", "image_url": {"url": self.url or self._data_url()}}

    def _data_url(self) -> str:
        kind, data = self.media_type, self.base64_data
        if self.path is not None:
            kind = kind or mimetypes.guess_type(self.path)[0] or "image/png"
            data = base64.b64encode(Path(self.path).read_bytes()).decode("ascii")
        return f"data:{kind};base64,{data}"
