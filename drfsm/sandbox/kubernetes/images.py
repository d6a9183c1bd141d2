"""What an image is here: the command that stands for its entrypoint and, if it has them, files.

Nothing is pulled or unpacked. An image's files are a folder of this machine: a container's root gets links to them, and
what lies in ``usr/local/bin`` there comes first on its PATH. So ``python scripts/run.py`` in a manifest runs the python
of the image. A cluster is given its images by their repository; kubelet.py and pod_worker.py look them up.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

PROGRAMS = "usr/local/bin"


@frozen
class Image:
    """One image. ``files`` is the folder that holds its files, None for none."""

    entrypoint: Sequence[str]
    files: Path | None = None


Images = Mapping[str, Image | Sequence[str]]
"""Images by their repository; a plain command is an image without files."""


def find(images: Images, repository: str) -> Image | None:
    """Return an image by its repository; None if the node doesn't have it."""
    known = images.get(repository)
    return known if known is None or isinstance(known, Image) else Image(known)
