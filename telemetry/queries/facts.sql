-- What the metrics add up and divide: requests and periods of typing, as counts.
-- grain: one row per request, and one row per session, language and period of five minutes.
-- params: none
-- `who` is the user, or the session where nobody says whose it is. A request has no typing, and a
-- period of typing has neither requests nor a model; what a row does not have is null, and adds 0.
select
    day,
    session_id,
    coalesce(user_key, session_id) as who,
    user_key,
    team,
    editor,
    editor_version,
    plugin_version,
    server_version,
    language,
    trigger,
    scope,
    cache,
    backend,
    model,
    model_digest,
    1 as requests,
    is_served::int as served,
    is_shown::int as shown,
    is_seen::int as seen,
    is_taken::int as taken,
    (outcome = 'rejected')::int as rejected,
    (outcome = 'typed_through')::int as typed_through,
    (outcome = 'unresolved')::int as unresolved,
    is_undone::int as undone,
    (not_served_reason = 'cancelled')::int as cancelled,
    (not_served_reason = 'error')::int as errors,
    case when is_shown then num_chars end as shown_chars,
    accepted_chars,
    case when kept_chars is not null then accepted_chars end as looked_at_chars,
    kept_chars,
    (is_served and coalesce(total_ms > 0, false))::int as num_total_ms,
    (is_served and coalesce(first_token_ms > 0, false))::int as num_first_token_ms,
    (is_served and coalesce(shown_delay_ms > 0, false))::int as num_shown_delay_ms,
    null::double as active_hours,
    null::bigint as inserted_chars,
    null::bigint as completed_chars,
    null::bigint as entered_chars
from opportunities
union all by name
select
    day,
    session_id,
    coalesce(user_key, session_id) as who,
    user_key,
    team,
    editor,
    editor_version,
    plugin_version,
    server_version,
    language,
    active_ms / 3.6e6 as active_hours,
    inserted_chars,
    completed_chars,
    inserted_chars + completed_chars as entered_chars
from typing
