-- Every live file with its place among the files of equal text; the first place is kept.
-- Training goes before validation, so that what is held out is what training never saw.
-- grain: one row per file of `annotated` without a reason.
select
    file, id, source, project, language, split, size_bytes, folder_rank,
    row_number() over (
        partition by sha256 order by case when split = 'train' then 0 else 1 end, id
    ) as place,
    first_value(id) over (
        partition by sha256 order by case when split = 'train' then 0 else 1 end, id
    ) as best
from annotated
where reason is null
