-- All backends together beside what editors saw, hour by hour.
-- grain: one row per hour (UTC) for which a backend was asked.
-- params: $first_ms, $last_ms (Unix ms: requests of editors outside are not read)
-- Editors do not tell which machine answered, so the two sides share the hour and nothing else.
with minutes as (
    select
        minute,
        avg(up_share) as up_share,
        sum(requests_per_s) as requests_per_s,
        sum(errors_per_s) as errors_per_s,
        sum(queue_max) as queue_max,
        sum(generated_tokens_per_s) as generated_tokens_per_s,
        sum(latency_ms * requests_per_s)
        / nullif(sum(requests_per_s) filter (where latency_ms is not null), 0) as latency_ms,
        avg(gpu_use_share) as gpu_use_share
    from backends
    group by minute
),

asked as (
    select
        date_trunc('hour', minute) as hour,
        avg(up_share) as up_share,
        avg(requests_per_s) as requests_per_s,
        sum(errors_per_s) / nullif(sum(requests_per_s) + sum(errors_per_s), 0) as error_share,
        max(queue_max) as queue_max,
        avg(generated_tokens_per_s) as generated_tokens_per_s,
        sum(latency_ms * requests_per_s)
        / nullif(sum(requests_per_s) filter (where latency_ms is not null), 0) as latency_ms,
        avg(gpu_use_share) as gpu_use_share
    from minutes
    group by all
),

seen as (
    select
        date_trunc('hour', epoch_ms(at_ms)) as hour,
        quantile_cont(total_ms, 0.95) as editor_p95_ms
    from opportunities
    where at_ms between $first_ms and $last_ms and (cache is null or cache = 'miss')
    group by all
)

select
    asked.*,
    seen.editor_p95_ms
from asked
left join seen using (hour)
order by hour
