-- What the data card counts.
-- grain: one row per source, project, language, split, licence, stage and reason; the last two are
-- null where files are kept.
select
    source, project, language, split, licence, stage, reason,
    cast(count(*) as bigint) as files,
    cast(sum(size_bytes) as bigint) as bytes,
    cast(sum(num_secrets) as bigint) as secrets,
    cast(sum(num_emails) as bigint) as emails,
    cast(sum(num_ips) as bigint) as ips
from (
    select
        annotated.source as source, annotated.project as project, annotated.language as language,
        annotated.split as split, annotated.licence as licence, annotated.size_bytes as size_bytes,
        coalesce(annotated.num_secrets, 0) as num_secrets,
        coalesce(annotated.num_emails, 0) as num_emails,
        coalesce(annotated.num_ips, 0) as num_ips,
        coalesce(annotated.stage, decisions.stage) as stage,
        coalesce(annotated.reason, decisions.reason) as reason
    from annotated left join decisions on annotated.id = decisions.id
) files
group by source, project, language, split, licence, stage, reason
order by source, project, language, split, licence, stage, reason
