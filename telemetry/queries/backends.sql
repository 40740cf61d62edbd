-- What backends said of themselves, from the table `samples` of `fimble telemetry operations`.
-- grain: one row per backend and minute.
-- params: none
-- Counters are turned into rates between two polls; one that is smaller than before has begun anew.
-- A rate counts for the minute in which it ends, and not at all over a gap of ten minutes or more.
-- Of two names for a counter, with `_total` and without, both are known.
-- requests, errors and tokens are per second; utilisation is 0 to 1; latency is the mean of requests
-- that ended in the minute.
with names(metric, meaning, factor) as (
    values
        ('up', 'up', 1.0),
        ('scrape_ms', 'scrape_ms', 1.0),
        ('tgi_queue_size', 'queue', 1.0),
        ('vllm:num_requests_waiting', 'queue', 1.0),
        ('llamacpp:requests_deferred', 'queue', 1.0),
        ('tgi_batch_current_size', 'batch', 1.0),
        ('vllm:num_requests_running', 'batch', 1.0),
        ('llamacpp:requests_processing', 'batch', 1.0),
        ('DCGM_FI_DEV_GPU_UTIL', 'gpu_util', 0.01),
        ('DCGM_FI_DEV_FB_USED', 'gpu_memory_mib', 1.0),
        ('tgi_request_success', 'requests', 1.0),
        ('vllm:request_success', 'requests', 1.0),
        ('tgi_request_failure', 'errors', 1.0),
        ('tgi_request_generated_tokens_sum', 'generated_tokens', 1.0),
        ('vllm:generation_tokens', 'generated_tokens', 1.0),
        ('llamacpp:tokens_predicted', 'generated_tokens', 1.0),
        ('tgi_request_input_length_sum', 'prompt_tokens', 1.0),
        ('vllm:prompt_tokens', 'prompt_tokens', 1.0),
        ('llamacpp:prompt_tokens', 'prompt_tokens', 1.0),
        ('tgi_request_duration_sum', 'latency_sum_ms', 1000.0),
        ('vllm:e2e_request_latency_seconds_sum', 'latency_sum_ms', 1000.0),
        ('tgi_request_duration_count', 'latency_count', 1.0),
        ('vllm:e2e_request_latency_seconds_count', 'latency_count', 1.0),
        ('tgi_request_queue_duration_sum', 'waiting_sum_ms', 1000.0),
        ('vllm:request_queue_time_seconds_sum', 'waiting_sum_ms', 1000.0),
        ('tgi_request_queue_duration_count', 'waiting_count', 1.0),
        ('vllm:request_queue_time_seconds_count', 'waiting_count', 1.0)
),

steps as (
    select
        backend,
        at_ms,
        meaning,
        labels::varchar as series,
        value * factor as value,
        at_ms - lag(at_ms) over series as step_ms,
        case
            when value >= lag(value) over series then value - lag(value) over series
            else value
        end * factor as added
    from samples
    inner join names on names.metric = regexp_replace(samples.metric, '_total$', '')
    window series as (partition by backend, samples.metric, labels::varchar order by at_ms)
),

polls as (
    select
        backend,
        at_ms,
        meaning,
        sum(value) as total,
        avg(value) as mean,
        sum(added) filter (where step_ms between 1 and 599999) as added,
        max(step_ms) filter (where step_ms between 1 and 599999) as step_ms
    from steps
    group by all
)

select
    epoch_ms(at_ms // 60000 * 60000) as minute,
    backend,
    avg(total) filter (where meaning = 'up') as up_share,
    avg(total) filter (where meaning = 'queue') as queue_mean,
    max(total) filter (where meaning = 'queue') as queue_max,
    avg(total) filter (where meaning = 'batch') as batch_mean,
    max(total) filter (where meaning = 'batch') as batch_max,
    1000 * sum(added) filter (where meaning = 'requests')
    / sum(step_ms) filter (where meaning = 'requests' and added is not null) as requests_per_s,
    1000 * sum(added) filter (where meaning = 'errors')
    / sum(step_ms) filter (where meaning = 'errors' and added is not null) as errors_per_s,
    1000 * sum(added) filter (where meaning = 'generated_tokens')
    / sum(step_ms) filter (where meaning = 'generated_tokens' and added is not null)
        as generated_tokens_per_s,
    1000 * sum(added) filter (where meaning = 'prompt_tokens')
    / sum(step_ms) filter (where meaning = 'prompt_tokens' and added is not null)
        as prompt_tokens_per_s,
    sum(added) filter (where meaning = 'latency_sum_ms')
    / nullif(sum(added) filter (where meaning = 'latency_count'), 0) as latency_ms,
    sum(added) filter (where meaning = 'waiting_sum_ms')
    / nullif(sum(added) filter (where meaning = 'waiting_count'), 0) as waiting_ms,
    avg(mean) filter (where meaning = 'gpu_util') as gpu_use_share,
    max(mean) filter (where meaning = 'gpu_util') as gpu_use_share_max,
    max(total) filter (where meaning = 'gpu_memory_mib') as gpu_memory_mib,
    avg(total) filter (where meaning = 'scrape_ms') as scrape_ms
from polls
group by all
