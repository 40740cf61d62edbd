-- Backends beside what editors saw in the same minute.
-- grain: one row per minute for which a backend was asked.
-- params: none
-- Backends are added up. Editors name the kind of a backend and not its address, so the two sides
-- share the minute and nothing else; requests answered from memory are left out of the editors'
-- side.
with asked as (
    select
        minute,
        min(up_share) as up_share,
        sum(queue_max) as queue_max,
        sum(batch_mean) as batch_mean,
        sum(requests_per_s) as requests_per_s,
        sum(errors_per_s) as errors_per_s,
        sum(generated_tokens_per_s) as generated_tokens_per_s,
        sum(latency_ms * requests_per_s) / nullif(sum(requests_per_s), 0) as latency_ms,
        avg(gpu_use_share) as gpu_use_share
    from backends
    group by all
),

seen as (
    select
        epoch_ms(at_ms // 60000 * 60000) as minute,
        count(*) as num_requests,
        count(*) filter (where not_served_reason = 'error') as num_errors,
        quantile_cont(total_ms, 0.5) as editor_p50_ms,
        quantile_cont(total_ms, 0.95) as editor_p95_ms
    from opportunities
    where cache is null or cache = 'miss'
    group by all
)

select
    asked.*,
    coalesce(seen.num_requests, 0) as num_editor_requests,
    coalesce(seen.num_errors, 0) as num_editor_errors,
    seen.editor_p50_ms,
    seen.editor_p95_ms
from asked
left join seen using (minute)
