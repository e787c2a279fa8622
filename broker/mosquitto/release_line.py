"""Mosquitto's release lines, 2.0 and 2.1, which read some files differently."""

from __future__ import annotations

import re
from typing import Literal

ReleaseLine = Literal["2.0", "2.1"]

IMAGE_OF_2_1 = "eclipse-mosquitto:2.1.2"
"""An example for messages."""


def release_line(image: str) -> ReleaseLine:
    """
    Return the release line of *image* by its tag; later lines read files as 2.1 does.

    Without a version in the tag it is 2.0, whose files 2.1 reads, too.
    """
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    version = re.match(r"v?(\d+)(?:\.(\d+))?(?=[.-]|$)", tag)
    if version is None:
        return "2.0"
    numbers = (int(version[1]), int(version[2] or 0))
    return "2.1" if numbers >= (2, 1) else "2.0"
