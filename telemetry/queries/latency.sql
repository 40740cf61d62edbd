-- How long completions take, as histograms: buckets of several rows add up, so percentiles of any
-- group can be told within 1 %.
-- grain: one row per day (UTC), measure, bucket, and each combination of the other columns.
-- params: none
-- measure: the columns total_ms, first_token_ms and shown_delay_ms of `completions`; 0 is not counted.
-- bucket: holds what is above low_ms, up to high_ms; `bucket_of` and `bucket_ms` say how wide.
select
    *,
    bucket_ms(bucket - 1) as low_ms,
    bucket_ms(bucket) as high_ms
from histograms
