"""MIPRO: instructions and demonstrations, proposed first and then searched together.

Opsahl-Ong et al., "Optimizing Instructions and Demonstrations for Multi-Stage Language Model Programs",
arXiv 2406.11695.
"""

from paretune.algorithms.mipro.search import Mipro
from paretune.algorithms.mipro.settings import MiproSettings, Stage

__all__ = ["Mipro", "MiproSettings", "Stage"]
