-- Which files are dropped because of other files: duplicates and caps.
-- Each step sees only what the step before it kept. Hashes and orders come from the stages, never
-- from the engine, so that every engine gives the same answer.
-- grain: one row per file that is dropped here.
with near as (
    select
        copies.id as id, copies.source as source,
        row_number() over (
            partition by clusters.cluster
            order by
                case when copies.split = 'train' then 0 else 1 end, copies.size_bytes desc, copies.id
        ) as place,
        first_value(copies.id) over (
            partition by clusters.cluster
            order by
                case when copies.split = 'train' then 0 else 1 end, copies.size_bytes desc, copies.id
        ) as best
    from copies join clusters on copies.file = clusters.file
    where copies.place = 1
),
distinct_files as (
    select copies.*
    from copies left join near on copies.id = near.id
    where copies.place = 1 and (near.id is null or near.place = 1)
),
projects as (
    select *, sum(size_bytes) over (
        partition by project, language order by folder_rank, id
        rows between unbounded preceding and current row
    ) as project_bytes
    from distinct_files
),
languages as (
    select *, sum(case when split = 'train' then size_bytes else 0 end) over (
        partition by language order by folder_rank, id
        rows between unbounded preceding and current row
    ) as language_bytes
    from projects
    where project_bytes <= {project_bytes}
)
select id, source, 'exact_duplicates' as stage, 'same_text' as reason, best as detail
from copies where place > 1
union all
select id, source, 'near_duplicates' as stage, 'similar_text' as reason, best as detail
from near where place > 1
union all
select id, source, 'balance' as stage, 'over_project_cap' as reason, cast(null as string) as detail
from projects where project_bytes > {project_bytes}
union all
select id, source, 'balance' as stage, 'over_language_cap' as reason, cast(null as string) as detail
from languages where split = 'train' and language_bytes > {language_bytes}
order by source, id
