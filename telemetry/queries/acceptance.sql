-- Acceptance, as sums that can be added up and as the moments that a ratio's variance needs.
-- grain: one row per day (UTC), editor, language, trigger and model.  unit: session.
-- params: $since_ms (unix ms, UTC)
-- taken: accepted whole or in part.  seen: on screen for 750 ms or more, or taken.
with per_session as (
    select
        day,
        editor,
        language,
        trigger,
        model,
        session_id,
        count(*) as served,
        count(*) filter (where is_shown) as shown,
        count(*) filter (
            where is_shown and (visible_ms >= 750 or outcome in ('accepted', 'accepted_part'))
        ) as seen,
        count(*) filter (where outcome in ('accepted', 'accepted_part')) as taken,
        count(*) filter (where outcome = 'accepted_part') as accepted_part,
        count(*) filter (where outcome = 'typed_through') as typed_through,
        count(*) filter (where outcome = 'rejected') as rejected,
        count(*) filter (where outcome = 'moved_away') as moved_away,
        count(*) filter (where outcome = 'expired') as expired,
        count(*) filter (where outcome = 'not_shown') as not_shown,
        count(*) filter (where outcome = 'unresolved') as unresolved,
        coalesce(sum(num_chars) filter (where is_shown), 0) as shown_chars,
        coalesce(sum(accepted_chars), 0) as accepted_chars,
        coalesce(sum(typed_chars), 0) as typed_chars
    from completions
    where served_at_ms >= $since_ms
    group by day, editor, language, trigger, model, session_id
)

select
    day,
    editor,
    language,
    trigger,
    model,
    count(*) as num_sessions,
    sum(served)::bigint as num_served,
    sum(shown)::bigint as num_shown,
    sum(seen)::bigint as num_seen,
    sum(taken)::bigint as num_taken,
    sum(accepted_part)::bigint as num_accepted_part,
    sum(typed_through)::bigint as num_typed_through,
    sum(rejected)::bigint as num_rejected,
    sum(moved_away)::bigint as num_moved_away,
    sum(expired)::bigint as num_expired,
    sum(not_shown)::bigint as num_not_shown,
    sum(unresolved)::bigint as num_unresolved,
    sum(shown_chars)::bigint as shown_chars,
    sum(accepted_chars)::bigint as accepted_chars,
    sum(typed_chars)::bigint as typed_chars,
    sum(shown * shown)::bigint as sum_shown_sq,
    sum(taken * taken)::bigint as sum_taken_sq,
    sum(shown * taken)::bigint as sum_shown_taken
from per_session
group by day, editor, language, trigger, model
order by day, editor, language, trigger, model
