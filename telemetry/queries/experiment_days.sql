-- What users did on each day in each arm of an experiment, and before it.
-- grain: one row per user, day (UTC) and arm; before the start the arm is null.
-- params: $experiment, $before_ms, $since_ms, $until_ms (unix ms, UTC), $slow_ms
-- Requests count from their exposure on, whatever became of them; a request whose own event was
-- lost counts with nothing taken. Time at the keyboard belongs to an arm only where the user had
-- one arm all day. Requests of one burst of typing are drawn together, into one bucket: `draws`
-- counts the buckets.
with exposed as (
    select
        session_id,
        opportunity_id,
        min(user_key) as user_key,
        min(day) as day,
        min(arm) as arm,
        min(bucket) as bucket
    from exposures
    where
        experiment = $experiment
        and is_eligible
        and exposed_at_ms >= $since_ms
        and exposed_at_ms < $until_ms
    group by session_id, opportunity_id
),

requests as (
    select
        exposed.user_key,
        exposed.day,
        exposed.arm,
        exposed.bucket,
        opportunities.* exclude (user_key, day, session_id, opportunity_id)
    from exposed
    left join opportunities using (session_id, opportunity_id)
    union all by name
    select
        * exclude (session_id, opportunity_id),
        null::varchar as arm,
        null::bigint as bucket
    from opportunities
    where at_ms >= $before_ms and at_ms < $since_ms
),

did as (
    select
        user_key,
        day,
        arm,
        count(*) as requests,
        count(distinct bucket) as draws,
        count(*) filter (where is_served) as served,
        count(*) filter (where is_shown) as shown,
        count(*) filter (where is_seen) as seen,
        count(*) filter (where is_taken) as taken,
        count(*) filter (where outcome = 'rejected') as rejected,
        count(*) filter (where is_undone) as undone,
        count(*) filter (where not_served_reason = 'error') as errors,
        count(*) filter (where is_served and total_ms > $slow_ms) as slow,
        coalesce(sum(total_ms) filter (where is_served), 0) as total_ms,
        coalesce(sum(num_chars) filter (where is_shown), 0) as shown_chars,
        coalesce(sum(accepted_chars), 0) as accepted_chars,
        coalesce(sum(kept_chars), 0) as kept_chars
    from requests
    group by user_key, day, arm
),

typed as (
    select
        user_key,
        day,
        sum(active_ms) as active_ms
    from typing
    where until_ms >= $before_ms and until_ms < $until_ms
    group by user_key, day
),

whole_days as (
    select
        user_key,
        day
    from did
    group by user_key, day
    having count(*) = 1
)

select
    did.user_key,
    did.day::varchar as day,
    did.arm,
    did.requests,
    did.draws,
    did.served,
    did.shown,
    did.seen,
    did.taken,
    did.rejected,
    did.undone,
    did.errors,
    did.slow,
    did.total_ms,
    did.shown_chars,
    did.accepted_chars,
    did.kept_chars,
    case when whole_days.day is not null then coalesce(typed.active_ms, 0) / 3.6e6 else 0 end
        as active_hours
from did
left join typed on typed.user_key = did.user_key and typed.day = did.day
left join whole_days on whole_days.user_key = did.user_key and whole_days.day = did.day
order by did.user_key, did.day, did.arm
