-- How long completions take, as sums that can be added up and as percentiles that cannot.
-- grain: one row per day (UTC), backend, model and cache (where the answer came from).
-- params: $since_ms (unix ms, UTC)
-- prompt_tokens and cached_tokens cover only streams that the engine ended itself: num_told of them.
select
    day,
    backend,
    model,
    cache,
    count(*) as num_served,
    sum(total_ms) as sum_total_ms,
    sum(total_ms * total_ms) as sum_total_ms_sq,
    quantile_cont(total_ms, 0.5) as p50_total_ms,
    quantile_cont(total_ms, 0.95) as p95_total_ms,
    quantile_cont(total_ms, 0.99) as p99_total_ms,
    quantile_cont(first_token_ms, 0.5) filter (where first_token_ms > 0) as p50_first_token_ms,
    quantile_cont(first_token_ms, 0.95) filter (where first_token_ms > 0) as p95_first_token_ms,
    quantile_cont(shown_delay_ms, 0.5) as p50_shown_delay_ms,
    quantile_cont(shown_delay_ms, 0.95) as p95_shown_delay_ms,
    count(*) filter (where prompt_tokens > 0) as num_told,
    sum(prompt_tokens)::bigint as prompt_tokens,
    sum(cached_tokens)::bigint as cached_tokens,
    sum(generated_tokens)::bigint as generated_tokens
from completions
where served_at_ms >= $since_ms
group by day, backend, model, cache
order by day, backend, model, cache
