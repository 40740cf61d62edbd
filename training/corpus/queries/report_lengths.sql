-- How long kept files are. A bin holds low <= length < high.
-- grain: one row per language, measure (`bytes` or `lines`) and bin that is not empty.
select
    measured.language as language, measured.measure as measure, bins.low as low, bins.high as high,
    cast(count(*) as bigint) as files, cast(sum(measured.size_bytes) as bigint) as bytes
from (
    select language, 'bytes' as measure, size_bytes as length, size_bytes
    from outcomes where stage is null
    union all
    select language, 'lines' as measure, num_lines as length, size_bytes
    from outcomes where stage is null
) measured join bins on measured.length >= bins.low and measured.length < bins.high
group by measured.language, measured.measure, bins.low, bins.high
order by measured.language, measured.measure, bins.low
