-- How requests ended: those that got nothing by the reason, completions by their outcome.
-- grain: one row per way to end.
-- params: $since, $until (days, UTC; null: no limit)
select
    coalesce(outcome, not_served_reason, 'unresolved') as ended,
    is_served,
    count(*) as num_requests,
    count(*) filter (where outcome_source = 'editor') as num_told
from opportunities
where
    ($since is null or day >= $since::date)
    and ($until is null or day <= $until::date)
group by all
order by num_requests desc, ended
