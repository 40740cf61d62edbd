-- What is left of accepted texts as time goes by, as sums over users and the moments between them.
-- grain: one row per horizon: seconds after the acceptance, 0 at the end of the session.
-- params: $since, $until (days, UTC; null: no limit)
-- Texts that nobody looked at count as unknown: their document was closed, or the time has not come.
with looked as (
    unpivot (
        select
            coalesce(user_key, session_id) as who,
            accepted_chars,
            coalesce(kept_rate_30s, -1) as "30",
            coalesce(kept_rate_120s, -1) as "120",
            coalesce(kept_rate_300s, -1) as "300",
            coalesce(kept_rate_600s, -1) as "600",
            coalesce(kept_rate_end, -1) as "0"
        from opportunities
        where
            is_taken
            and accepted_chars > 0
            and ($since is null or day >= $since::date)
            and ($until is null or day <= $until::date)
    ) on "30", "120", "300", "600", "0" into name horizon value kept_rate
),

by_user as (
    select
        horizon::int as horizon_s,
        who,
        count(*) filter (where kept_rate >= 0) as texts,
        count(*) filter (where kept_rate >= 0.5) as kept,
        count(*) filter (where kept_rate < 0) as unknown,
        coalesce(sum(accepted_chars) filter (where kept_rate >= 0), 0)::double as den,
        coalesce(sum(accepted_chars * kept_rate) filter (where kept_rate >= 0), 0)::double as num
    from looked
    group by all
)

select
    horizon_s,
    count(*) filter (where texts > 0) as num_users,
    sum(texts)::bigint as num_texts,
    sum(kept)::bigint as num_kept,
    sum(unknown)::bigint as num_unknown,
    sum(num) as kept_chars,
    sum(den) as looked_at_chars,
    sum(num * num) as sum_kept_sq,
    sum(num * den) as sum_kept_looked_at,
    sum(den * den) as sum_looked_at_sq
from by_user
group by horizon_s
order by if(horizon_s = 0, 1000000, horizon_s)
