-- Whether the data can be trusted: what is missing, and who says how completions ended.
-- grain: one row per editor and version of the server.
-- params: $since, $until (days, UTC; null: no limit)
with ends as (
    select
        session_id,
        count(*) as completions,
        count(*) filter (where outcome = 'unresolved') as unresolved,
        count(*) filter (where is_taken) as taken,
        count(*) filter (where is_taken and outcome_source = 'editor') as taken_told
    from completions
    group by session_id
)

select
    editor,
    server_version,
    count(*) as num_sessions,
    count(*) filter (where not is_ended) as num_not_ended,
    count(*) filter (where abs(clock_jump_ms) > 60000) as num_clock_jumps,
    count(*) filter (where num_lost > 0) as num_lossy,
    sum(num_events)::bigint as num_events,
    sum(num_expected)::bigint as num_expected,
    coalesce(sum(completions), 0)::bigint as num_completions,
    coalesce(sum(unresolved), 0)::bigint as num_unresolved,
    coalesce(sum(taken), 0)::bigint as num_taken,
    coalesce(sum(taken_told), 0)::bigint as num_taken_told
from sessions
left join ends using (session_id)
where
    ($since is null or day >= $since::date)
    and ($until is null or day <= $until::date)
group by all
order by num_sessions desc, editor, server_version
