-- Backends over all minutes of the view `backends`.
-- grain: one row per backend.
-- params: none
-- Rates are means over the minutes in which the backend told them; times are means over requests.
select
    backend,
    count(*) as num_minutes,
    max(minute) as last_minute,
    avg(up_share) as up_share,
    avg(requests_per_s) as requests_per_s,
    sum(errors_per_s) / nullif(sum(requests_per_s) + sum(errors_per_s), 0) as error_share,
    avg(queue_mean) as queue_mean,
    max(queue_max) as queue_max,
    avg(generated_tokens_per_s) as generated_tokens_per_s,
    sum(latency_ms * requests_per_s)
    / nullif(sum(requests_per_s) filter (where latency_ms is not null), 0) as latency_ms,
    sum(waiting_ms * requests_per_s)
    / nullif(sum(requests_per_s) filter (where waiting_ms is not null), 0) as waiting_ms,
    avg(gpu_use_share) as gpu_use_share,
    max(gpu_memory_mib) as gpu_memory_mib
from backends
group by backend
order by backend
