-- Which files the report shows: the first ones of each reason in the order of their ids, which are
-- hashes, so that it is a fair sample and the same on every engine. Of redacted files, which are
-- kept, the first of each kind and language.
-- grain: one row per file to show and reason to show it.
select id, source, project, path, language, size_bytes, num_lines, stage, reason, detail, place
from (
    select
        id, source, project, path, language, size_bytes, num_lines, stage, reason, detail,
        row_number() over (partition by stage, reason order by id) as place
    from outcomes where stage is not null
) dropped
where place <= 5
union all
select id, source, project, path, language, size_bytes, num_lines, stage, reason, detail, place
from (
    select
        id, source, project, path, language, size_bytes, num_lines, 'stand_in' as stage,
        kind as reason, detail,
        row_number() over (partition by kind, language order by id) as place
    from (
        select *, 'secrets' as kind from outcomes where stage is null and num_secrets > 0
        union all
        select *, 'emails' as kind from outcomes where stage is null and num_emails > 0
        union all
        select *, 'ips' as kind from outcomes where stage is null and num_ips > 0
    ) redacted
) kept
where place <= 2
order by stage, reason, language, place, id
