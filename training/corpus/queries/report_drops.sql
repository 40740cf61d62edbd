-- grain: one row per language, stage and reason; the last two are null where files are kept.
select
    language, stage, reason,
    cast(count(*) as bigint) as files, cast(sum(size_bytes) as bigint) as bytes
from outcomes
group by language, stage, reason
order by language, stage, reason
