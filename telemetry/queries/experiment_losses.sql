-- What is missing of the sessions in each arm of an experiment.
-- grain: one row per arm; a session in which several arms were drawn counts in each.
-- params: $experiment, $since_ms, $until_ms (unix ms, UTC)
with drawn as (
    select distinct
        session_id,
        arm
    from exposures
    where
        experiment = $experiment
        and is_eligible
        and exposed_at_ms >= $since_ms
        and exposed_at_ms < $until_ms
)

select
    drawn.arm,
    count(*) as num_sessions,
    count(*) filter (where sessions.num_lost > 0) as num_lossy,
    count(*) filter (where not sessions.is_ended) as num_not_ended,
    sum(sessions.num_expected)::bigint as num_expected,
    sum(sessions.num_lost)::bigint as num_lost
from drawn
inner join sessions using (session_id)
group by drawn.arm
order by drawn.arm
