-- What became of every file, without its text: what all other questions of the report are about.
-- grain: one row per file that was read; stage and reason are null where it is kept.
select
    annotated.id as id, annotated.file as file, annotated.source as source,
    annotated.project as project, annotated.path as path,
    coalesce(annotated.language, '') as language, annotated.licence as licence,
    annotated.split as split, annotated.size_bytes as size_bytes, annotated.num_lines as num_lines,
    coalesce(annotated.num_secrets, 0) as num_secrets,
    coalesce(annotated.num_emails, 0) as num_emails,
    coalesce(annotated.num_ips, 0) as num_ips,
    coalesce(annotated.stage, decisions.stage) as stage,
    coalesce(annotated.reason, decisions.reason) as reason,
    coalesce(annotated.detail, decisions.detail) as detail
from annotated left join decisions on annotated.id = decisions.id
