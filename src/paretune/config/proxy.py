"""A cheap model that stands in for an expensive one while it predicts it well."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from paretune.config.base import Natural, Section
from paretune.config.providers import Provider, address

_Name = Annotated[str, Field(min_length=1)]
_Share = Annotated[float, Field(ge=0, le=1)]


class ProxyModelsConfig(Section):
    """A low-fidelity model (LO) that screens candidates before the high-fidelity one (HI) evaluates them.

    `rule` "control_variate" uses LO as far as its correlation with HI is worth its price; of the thresholds
    only `n_min_hi` counts. "r2" is the documented rule: a regression's `r2_thresh` (R squared) begins it and
    `r2_stop` ends it, as does `sigma_stop` (residual variance). Both end at a cumulative net gain below
    `proxy_patience_usd` (USD). Every `verify_every`-th candidate that would be turned down is not, and while
    LO is off it is asked again for every so many-th; 0: never. `lo_estimated_cost_usd` is what a LO rollout
    costs at most where the price table does not know its model.
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
    rule: Literal["control_variate", "r2"] = "control_variate"
    lo_estimated_cost_usd: float | None = Field(None, ge=0)

    @field_validator("hi_inference_url", "lo_inference_url")
    @classmethod
    def _has_an_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        name = info.field_name or ""
        return address(info.data.get(name[:2] + "_provider"), value, name)
