-- Requests as counts, added up by session, so that few questions need to read each of them.
-- grain: one row per day (UTC), session, language, trigger, backend, model and its digest.
-- params: none
select
    day,
    session_id,
    who,
    user_key,
    team,
    editor,
    editor_version,
    plugin_version,
    server_version,
    language,
    trigger,
    backend,
    model,
    model_digest,
    sum(requests)::bigint as requests,
    sum(served)::bigint as served,
    sum(shown)::bigint as shown,
    sum(seen)::bigint as seen,
    sum(taken)::bigint as taken,
    sum(rejected)::bigint as rejected,
    sum(typed_through)::bigint as typed_through,
    sum(unresolved)::bigint as unresolved,
    sum(undone)::bigint as undone,
    sum(cancelled)::bigint as cancelled,
    sum(errors)::bigint as errors,
    sum(shown_chars)::bigint as shown_chars,
    sum(accepted_chars)::bigint as accepted_chars,
    sum(looked_at_chars)::bigint as looked_at_chars,
    sum(kept_chars)::bigint as kept_chars,
    sum(num_total_ms)::bigint as num_total_ms,
    sum(num_first_token_ms)::bigint as num_first_token_ms,
    sum(num_shown_delay_ms)::bigint as num_shown_delay_ms
from facts
where requests = 1
group by all
