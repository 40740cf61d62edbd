-- How much was recorded.
-- grain: one row.
-- params: $since, $until (days, UTC; null: no limit)
select
    count(distinct user_key) as num_users,
    count(distinct session_id) as num_sessions,
    count(*) as num_requests,
    count(distinct day) as num_days,
    min(day) as first_day,
    max(day) as last_day
from opportunities
where
    ($since is null or day >= $since::date)
    and ($until is null or day <= $until::date)
