"""Events with values that are easy to reckon with."""

from fimble.events import (
    AcceptKind,
    CacheHit,
    Kept,
    NotServed,
    Opportunity,
    Outcome,
    Resolved,
    Retained,
    Served,
    SessionEnded,
    SessionStarted,
    Shown,
    Source,
    Trigger,
)

STARTED = SessionStarted(
    editor="Neovim",
    editor_version="0.12",
    plugin_version="0.2",
    server_version="1",
    level="keys",
    user_key="u",
    key_epoch=1,
    team="core",
)
ENDED = SessionEnded(num_events_dropped=2)


def served(name: str, *, total_ms: float = 100.0, num_chars: int = 10) -> Served:
    return Served(
        completion_id=name,
        opportunity_id=f"o-{name}",
        language="python",
        trigger=Trigger.AUTOMATIC,
        scope="line",
        cache=CacheHit.MISS,
        model="m",
        model_digest="d",
        backend="tgi",
        prefix_chars=1,
        suffix_chars=2,
        prompt_tokens=3,
        cached_tokens=1,
        num_snippets=2,
        snippet_bytes=99,
        generated_tokens=4,
        num_chars=num_chars,
        num_lines=1,
        mean_logprob=-1.0,
        stop_reason="line",
        debounce_ms=0.0,
        first_token_ms=total_ms / 2,
        total_ms=total_ms,
        head_chars=7,
        behind_chars=2,
        is_in_word=True,
        since_taken_ms=900.0,
        filter_digest="f" * 16,
        filter_score=0.25,
        filter_propensity=0.05,
    )


def shown(name: str, source: Source = Source.INFERRED) -> Shown:
    return Shown(completion_id=name, source=source, shown_delay_ms=350.0)


def resolved(
    name: str,
    outcome: Outcome,
    *,
    visible_ms: float = 1000.0,
    chars: int = 0,
    source: Source = Source.INFERRED,
) -> Resolved:
    return Resolved(
        completion_id=name,
        outcome=outcome,
        source=source,
        visible_ms=visible_ms,
        accepted_chars=chars,
        accepted_lines=int(chars > 0),
        typed_chars=0,
        accept_kind=AcceptKind.FULL if chars else AcceptKind.NONE,
        num_accepts=int(chars > 0),
    )


def retained(name: str, horizon_s: int, state: Kept, *, chars: int = 0) -> Retained:
    return Retained(
        completion_id=name,
        horizon_s=horizon_s,
        age_ms=40_000.0,
        state=state,
        kept_rate=chars / 10,
        kept_chars=chars,
        kept_lines=int(state is Kept.KEPT),
    )


def missed(name: str, reason: NotServed = NotServed.EMPTY) -> Opportunity:
    return Opportunity(
        opportunity_id=name,
        language="go",
        trigger=Trigger.INVOKED,
        reason=reason,
        detail="nothing",
        model="m",
        model_digest="d",
        backend="tgi",
        total_ms=70.0,
    )
