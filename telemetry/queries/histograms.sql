-- How long completions took, as counts by bucket, so that no question needs to read each of them.
-- grain: one row per day (UTC), measure, bucket and what metrics are asked by.
-- params: none
-- measure: the columns total_ms, first_token_ms and shown_delay_ms of `completions`; 0 is not counted.
select
    day,
    measure,
    * exclude (day, measure, took_ms),
    bucket_of(took_ms) as bucket,
    count(*) as num_served
from (
    unpivot (
        select
            day,
            editor,
            editor_version,
            plugin_version,
            server_version,
            team,
            language,
            trigger,
            scope,
            cache,
            backend,
            model,
            model_digest,
            case when total_ms > 0 then total_ms end as total_ms,
            case when first_token_ms > 0 then first_token_ms end as first_token_ms,
            case when shown_delay_ms > 0 then shown_delay_ms end as shown_delay_ms
        from opportunities
        where is_served
    ) on total_ms, first_token_ms, shown_delay_ms into name measure value took_ms
)
group by all
