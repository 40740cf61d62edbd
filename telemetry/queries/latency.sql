-- How long completions take, as histograms: buckets of several rows add up, so percentiles of any
-- group can be told within 1 %.
-- grain: one row per day (UTC), measure, backend, model, cache, editor, server version, language, team and bucket.
-- params: none
-- measure: the columns total_ms, first_token_ms and shown_delay_ms of `completions`.
-- bucket: holds what is above low_ms, up to high_ms; `bucket_of` and `bucket_ms` say how wide.
with measured as (
    unpivot (
        select
            day,
            backend,
            model,
            cache,
            editor,
            server_version,
            language,
            team,
            total_ms,
            nullif(first_token_ms, 0) as first_token_ms,
            shown_delay_ms
        from completions
    ) on total_ms, first_token_ms, shown_delay_ms into name measure value took_ms
)

select
    day,
    measure,
    backend,
    model,
    cache,
    editor,
    server_version,
    language,
    team,
    bucket_of(took_ms) as bucket,
    bucket_ms(bucket - 1) as low_ms,
    bucket_ms(bucket) as high_ms,
    count(*) as num_served
from measured
group by all
