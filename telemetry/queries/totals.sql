-- What was recorded in all.
-- grain: one row.
-- params: none
select
    count(*) as num_sessions,
    count(*) filter (where not is_ended) as num_sessions_not_ended,
    coalesce(sum(num_events), 0)::bigint as num_events,
    coalesce(sum(num_expected), 0)::bigint as num_expected,
    coalesce(sum(num_completions), 0)::bigint as num_completions
from sessions
