"""The job document's classes: all of `paretune.config`."""

from paretune.config import *  # noqa: F403
from paretune.config import __all__ as __all__
