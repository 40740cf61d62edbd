-- Completions, folded from their events in whatever order these came.
-- grain: one row per completion.
-- params: none
-- An editor's word about an outcome counts more than an inference. A completion whose end was not
-- recorded (yet) is `unresolved`, never rejected.
with folded as (
    select
        session_id,
        completion_id,
        min(ts_wall_ms) as first_ms,
        arg_min(e, seq) filter (where ev = 'served') as served,
        arg_min(e, seq) filter (where ev = 'shown') as shown,
        arg_min(e, (source <> 'editor', seq)) filter (where ev = 'resolved') as resolved
    from events as e
    where completion_id is not null
    group by session_id, completion_id
)

select
    cast(epoch_ms(first_ms) as date) as day,
    session_id,
    completion_id,
    sessions.editor,
    sessions.editor_version,
    sessions.server_version,
    served.ts_wall_ms as served_at_ms,
    served.language,
    served.trigger,
    served.scope,
    served.cache,
    served.model,
    served.model_digest,
    served.backend,
    served.prefix_chars,
    served.suffix_chars,
    served.prompt_tokens,
    served.cached_tokens,
    served.generated_tokens,
    served.num_chars,
    served.num_lines,
    served.mean_logprob,
    served.stop_reason,
    served.debounce_ms,
    served.first_token_ms,
    served.total_ms,
    shown is not null or coalesce(resolved.outcome <> 'not_shown', false) as is_shown,
    shown.source as shown_source,
    shown.shown_delay_ms,
    coalesce(resolved.outcome, 'unresolved') as outcome,
    resolved.source as outcome_source,
    resolved.ts_wall_ms as resolved_at_ms,
    resolved.visible_ms,
    resolved.accepted_chars,
    resolved.accepted_lines,
    resolved.typed_chars
from folded
left join sessions using (session_id)
