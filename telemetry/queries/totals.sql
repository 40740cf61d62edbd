-- What was recorded in all.
-- grain: one row.
-- params: none
select
    count(*) as num_sessions,
    count(*) filter (where not is_ended) as num_sessions_not_ended,
    count(*) filter (where abs(clock_jump_ms) > 60000) as num_clock_jumps,
    coalesce(sum(num_events), 0)::bigint as num_events,
    coalesce(sum(num_expected), 0)::bigint as num_expected,
    coalesce(sum(num_completions), 0)::bigint as num_completions,
    coalesce(sum(num_not_served), 0)::bigint as num_not_served
from sessions
