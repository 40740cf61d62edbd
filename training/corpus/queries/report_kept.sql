-- grain: one row per project, language, split and licence of kept files.
select
    project, language, split, licence,
    cast(count(*) as bigint) as files,
    cast(sum(size_bytes) as bigint) as bytes,
    cast(max(size_bytes) as bigint) as most_bytes,
    cast(max(num_lines) as bigint) as most_lines,
    cast(sum(num_secrets) as bigint) as secrets,
    cast(sum(num_emails) as bigint) as emails,
    cast(sum(num_ips) as bigint) as ips,
    cast(sum(case when num_secrets + num_emails + num_ips > 0 then 1 else 0 end) as bigint)
        as redacted_files
from outcomes
where stage is null
group by project, language, split, licence
order by project, language, split, licence
