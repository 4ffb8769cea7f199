"""A cheap model that stands in for an expensive one while it predicts it well."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from paretune.config.base import Natural, Section
from paretune.config.providers import Provider, address

_Name = Annotated[str, Field(min_length=1)]
_Share = Annotated[float, Field(ge=0, le=1)]


class ProxyModelsConfig(Section):
    """Evaluations by a low-fidelity model once a regression on both predicts the high-fidelity one.

    `r2_thresh` (R squared) begins it and `r2_stop` ends it, as do `sigma_stop` (residual variance) and a
    cumulative net gain below `proxy_patience_usd` (USD). `verify_every` = 0: never asked again for both.
    """

    hi_provider: Provider
    hi_model: _Name
    lo_provider: Provider
    lo_model: _Name
    hi_inference_url: str | None = None
    lo_inference_url: str | None = None
    n_min_hi: Natural = 5
    r2_thresh: _Share = 0.5
    r2_stop: _Share = 0.2
    sigma_max: float = Field(1e6, ge=0)
    sigma_stop: float = Field(1e9, ge=0)
    verify_every: Natural = 0
    proxy_patience_usd: float = -100.0

    @field_validator("hi_inference_url", "lo_inference_url")
    @classmethod
    def _has_an_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        name = info.field_name or ""
        return address(info.data.get(name[:2] + "_provider"), value, name)
