-- Pairs that may be near duplicates: the smallest file of each bucket with every other one in it.
-- A star for each of the 32 bands finds what all pairs would, without quadratic buckets.
-- grain: one row per pair of files that share a bucket.
with live as (
    select bands.file as file, bands.band as band
    from bands join copies on bands.file = copies.file
    where copies.place = 1
),
buckets as (
    select band, min(file) as first_file, count(*) as num_files
    from live
    group by band
)
select distinct buckets.first_file as a, live.file as b
from live join buckets on live.band = buckets.band
where buckets.num_files > 1 and live.file <> buckets.first_file
