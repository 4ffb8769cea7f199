"""The budget ledger: reserve before asking, settle after, so that a cap is never passed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from paretune.core.errors import FREE, OUTCOME_UNKNOWN, BudgetExceeded, FailureKind
from paretune.core.keyset import KeySet
from paretune.core.rollout import Usage

POLICY = ("rollout", "proxy")
"""Roles of rollouts: by the job's own policy, and by the cheap one that stands in for it."""
ROLES = ("rollout", "proposal", "verdict")
"""Whose tokens and money may be capped of their own."""
PAID = frozenset({"cost_usd", "tokens", *(f"{role}_{unit}" for role in ROLES for unit in ("tokens", "usd"))})
"""Caps on what calls really took. When one of these is met is no consequence of the record."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps of a run; None means no cap. `rollouts` counts distinct results, `cost_usd` and all tokens what
    was really paid (lost attempts at their reserved price), `seconds` active time. `tokens` are those of
    all roles, `rollout_tokens`, `proposal_tokens` and `verdict_tokens` those of one; `rollout_usd` and so on
    are money of one role."""

    rollouts: int | None = None
    steps: int | None = None
    tokens: int | None = None
    rollout_tokens: int | None = None
    proposal_tokens: int | None = None
    verdict_tokens: int | None = None
    cost_usd: float | None = None
    rollout_usd: float | None = None
    proposal_usd: float | None = None
    verdict_usd: float | None = None
    seconds: float | None = None

    def usd_of(self, role: str) -> float | None:
        """The cap on the money of this role and of those that count with it."""
        if role in POLICY:
            return self.rollout_usd
        if role == "proposal":
            return self.proposal_usd
        return self.verdict_usd if role == "verdict" else None

    def tokens_of(self, role: str) -> int | None:
        """The cap on the tokens of this role and of those that count with it."""
        if role in POLICY:
            return self.rollout_tokens
        if role == "proposal":
            return self.proposal_tokens
        return self.verdict_tokens if role == "verdict" else None

    @property
    def caps_tokens(self) -> bool:
        """True if tokens of any role are capped."""
        caps = (self.tokens, self.rollout_tokens, self.proposal_tokens, self.verdict_tokens)
        return caps != (None, None, None, None)


@dataclass(slots=True)
class Spent:
    """What one role (rollout, proxy, proposal, verdict) has used. Only the ledger changes it."""

    calls: int = 0
    reused: int = 0
    failed: int = 0
    lost: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    lost_usd: float = 0.0
    unpriced: int = 0
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def usd(self) -> float:
        """Money paid and money lost."""
        return self.cost_usd + self.lost_usd


class Brings(NamedTuple):
    """What a call of one role makes necessary: so many calls of another `role`, each of which takes at most
    `usd` and `tokens` (None where nobody knows)."""

    role: str
    calls: int
    usd: float = 0.0
    tokens: int | None = None


class _Part(NamedTuple):
    """Of a reservation what one role may take. `known` unless nobody can say how many tokens that is."""

    role: str
    usd: float
    tokens: int
    known: bool


@dataclass(slots=True)
class Ledger:
    """Counts one run. Keys are fact keys; asking for the same key again is free.

    `drawn` holds the distinct rollouts of the run, whether paid now or known before. While it is `closed`
    nothing can be reserved: money or tokens have ended the search, and what is under way is given up.
    `brings` names by role what each call makes necessary: that is reserved along with it.
    """

    limits: Limits = Limits()
    drawn: KeySet = field(default_factory=KeySet)
    by_role: dict[str, Spent] = field(default_factory=dict)
    steps: int = 0
    closed: bool = False
    brings: dict[str, Brings] = field(default_factory=dict)
    _reserved_usd: dict[str, float] = field(default_factory=dict)
    _reserved_tokens: dict[str, list[_Part]] = field(default_factory=dict)
    _most: dict[str, tuple[float, int]] = field(default_factory=dict)
    _refused: set[str] = field(default_factory=set)
    _waiting: list[Callable[[], None]] = field(default_factory=list)

    def left(self) -> int | None:
        """Rollouts that can still be drawn; None without a cap."""
        return None if self.limits.rollouts is None else max(0, self.limits.rollouts - len(self.drawn))

    def affords(self, keys: Iterable[str], keep: int = 0) -> bool:
        """True if all of these rollouts fit and `keep` more would still fit after them."""
        left = self.left()
        return left is None or len(self.drawn.missing(keys)) + keep <= left

    def draw(self, keys: Iterable[str]) -> Set[str]:
        """Take these rollouts from the budget, all or none; returns the new ones. Raises
        BudgetExceeded("rollouts")."""
        new = self.drawn.missing(keys)
        left = self.left()
        if left is not None and len(new) > left:
            raise BudgetExceeded("rollouts", len(new), left)
        self.drawn.extend(new)
        return new

    def refused(self, key: str) -> None:
        """This rollout was drawn, but could not be paid. It keeps its place until the search has ended, for
        which of them are refused is no consequence of the record."""
        self._refused.add(key)

    def paid(self, key: str) -> None:
        """Somebody asked for this rollout again, and it has a result now."""
        self._refused.discard(key)

    def reopen(self) -> None:
        """After the search: what is still to be asked can be reserved again."""
        self.closed = False
        if self._refused:
            self.drawn = KeySet(key for key in self.drawn if key not in self._refused)
            self._refused = set()

    def reserve(self, attempt: str, usd: float, role: str = "rollout", tokens: int | None = None) -> float:
        """Hold money and tokens for one attempt; returns the money held.

        Held are `usd` or the dearest call of this role so far, whichever is more, and likewise `tokens` (the
        most that it can take, None where nobody knows) or the longest; and the same for what it `brings`.
        Raises BudgetExceeded with the name of the cap that it would pass.
        """
        parts = self._parts(role, usd, tokens)
        usd = sum(part.usd for part in parts)
        if self.closed:
            raise BudgetExceeded("cost_usd", usd, 0.0)
        cap = self.limits.cost_usd
        if cap is not None:
            left = cap - self.cost_usd - sum(self._reserved_usd.values())
            if usd > left + 1e-12:
                raise BudgetExceeded("cost_usd", usd, max(0.0, left))
        for part in parts:
            own = self.limits.usd_of(part.role)
            if own is not None and part.usd > (left := own - self._taken_usd(part.role)) + 1e-12:
                raise BudgetExceeded(f"{part.role}_usd", part.usd, max(0.0, left))
        for name, left, held, most in self._token_caps(parts):
            wanted = max(most, 1)
            if wanted > left - held:
                raise BudgetExceeded(name, wanted, max(0, left - held))
        self._reserved_usd[attempt] = usd
        self._reserved_tokens[attempt] = parts
        return parts[0].usd

    def free(self, usd: float, role: str = "rollout") -> bool:
        """True if `reserve` would hold nothing and refuse nothing."""
        parts = self._parts(role, usd, None)
        money = (self.limits.cost_usd, *(self.limits.usd_of(part.role) for part in parts))
        capped = any(cap is not None for cap in money) or self._token_caps(parts)
        return not self.closed and not capped and not any(part.usd for part in parts)

    def must_wait(self, role: str, tokens: int | None = None) -> bool:
        """True if the next call of this role should wait until one that is out has come home.

        Only where tokens are capped: as long as nobody knows how many such a call takes, one goes out at a
        time; and what is held for others may be more than they take in the end. See `reserve` for `tokens`.
        """
        if self.closed or not self.limits.caps_tokens:
            return False
        parts = self._parts(role, 0.0, tokens)
        caps = self._token_caps(parts)
        if not caps:
            return False
        unknown = {part.role for part in parts if not part.known}
        if any(part.role in unknown for out in self._reserved_tokens.values() for part in out):
            return True
        full = any(wanted > left - held for _, left, held, wanted in caps)
        return full and all(wanted <= left for _, left, _, wanted in caps)

    def when_released(self, tell: Callable[[], None]) -> None:
        """`tell` is called once, when the next reservation is freed."""
        self._waiting.append(tell)

    def _parts(self, role: str, usd: float, tokens: int | None) -> list[_Part]:
        """What a call of this role may take, and behind it what the calls may take that it brings."""
        parts = [self._part(role, 1, usd, tokens)]
        if role in self.brings:
            parts.append(self._part(*self.brings[role]))
        return parts

    def _part(self, role: str, calls: int, usd: float, tokens: int | None) -> _Part:
        dearest, longest = self._most.get(role, (0.0, 0))
        longest = max(longest, tokens or 0)
        return _Part(role, calls * max(usd, dearest), calls * longest, bool(longest) or tokens is not None)

    def _token_caps(self, parts: Sequence[_Part]) -> Sequence[tuple[str, int, int, int]]:
        """Each cap on tokens that these parts count against: its name, what is left of it, how much of
        that is held, and how much is wanted."""
        if not self.limits.caps_tokens:
            return ()
        every, caps = self.limits.tokens, []
        held = [part for out in self._reserved_tokens.values() for part in out]
        if every is not None:
            wanted = sum(part.tokens for part in parts)
            caps.append(("tokens", every - self.tokens, sum(part.tokens for part in held), wanted))
        for part in parts:
            own = self.limits.tokens_of(part.role)
            if own is not None:
                roles = together(part.role)
                of_roles = sum(other.tokens for other in held if other.role in roles)
                left = own - self.tokens_of(part.role)
                caps.append((f"{roles[0]}_tokens", left, of_roles, part.tokens))
        return caps

    def _taken_usd(self, role: str) -> float:
        """Money that this role and those that count with it have spent, and what is held for them."""
        roles = together(role)
        held = [part.usd for out in self._reserved_tokens.values() for part in out if part.role in roles]
        return sum(self.role(one).usd for one in roles) + sum(held)

    def release(self, attempt: str) -> None:
        """Free a reservation whose call ended without a result or a failure."""
        self._reserved_usd.pop(attempt, None)
        self._reserved_tokens.pop(attempt, None)
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for tell in waiting:
                tell()

    def settle(self, attempt: str, role: str, usage: Usage, seconds: float = 0.0) -> None:
        """Book what the attempt really cost and free its reservation."""
        self.release(attempt)
        dearest, longest = self._most.get(role, (0.0, 0))
        self._most[role] = (max(dearest, usage.cost_usd or 0.0), max(longest, usage.tokens))
        spent = self._spent(role)
        spent.calls += 1
        spent.prompt_tokens += usage.prompt_tokens
        spent.completion_tokens += usage.completion_tokens
        spent.cost_usd += usage.cost_usd or 0.0
        spent.unpriced += usage.cost_usd is None
        spent.seconds += seconds

    def fail(self, attempt: str, role: str, usd: float = 0.0) -> None:
        """Book an attempt that gave no result; `usd` is what it may have cost all the same."""
        self.release(attempt)
        spent = self._spent(role)
        spent.failed += 1
        spent.lost_usd += usd

    def lose(self, attempt: str, role: str, usd: float) -> None:
        """Book an attempt whose outcome nobody knows, at the price that was reserved for it."""
        self.release(attempt)
        spent = self._spent(role)
        spent.lost += 1
        spent.lost_usd += usd

    def give_up(self, attempt: str, role: str, kind: FailureKind, usd: float) -> None:
        """Book a failed attempt, at the price that was reserved unless the far side did no work at all."""
        if kind in OUTCOME_UNKNOWN:
            self.lose(attempt, role, usd)
        else:
            self.fail(attempt, role, 0.0 if kind in FREE else usd)

    def reuse(self, role: str, results: int = 1) -> None:
        """Book results that were known before and cost nothing now."""
        self._spent(role).reused += results

    def role(self, role: str) -> Spent:
        """What this role has used so far; it goes on counting."""
        return self.by_role.get(role) or Spent()

    def _spent(self, role: str) -> Spent:
        spent = self.by_role.get(role)
        if spent is None:
            spent = self.by_role[role] = Spent()
        return spent

    def mean_tokens(self, role: str) -> float:
        """Tokens of a call of this role so far, on average; 0 before the first."""
        spent = self.role(role)
        return spent.tokens / spent.calls if spent.calls else 0.0

    def tokens_of(self, role: str) -> int:
        """What counts against the cap on this role's tokens."""
        return sum(self.role(one).tokens for one in together(role))

    @property
    def cost_usd(self) -> float:
        """Money paid and money lost, over all roles."""
        return sum(spent.usd for spent in self.by_role.values())

    @property
    def tokens(self) -> int:
        return sum(spent.tokens for spent in self.by_role.values())


def together(role: str) -> tuple[str, ...]:
    """The roles whose tokens count against one cap with those of this one."""
    return POLICY if role in POLICY else (role,)
