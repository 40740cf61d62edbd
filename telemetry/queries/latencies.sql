-- Latency histograms of completions by where the answer came from, for plots.
-- grain: one row per cache and bucket.
-- params: $since, $until (days, UTC; null: no limit)
select
    cache,
    bucket,
    min(high_ms) as high_ms,
    sum(num_served)::bigint as num_served
from latency
where
    measure = 'total_ms'
    and ($since is null or day >= $since::date)
    and ($until is null or day <= $until::date)
group by all
order by cache, bucket
