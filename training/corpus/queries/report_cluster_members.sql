-- The largest clusters of near duplicates with their first files; the kept one comes first.
-- grain: one row per file to show.
with largest as (
    select
        clusters.cluster as cluster, cast(count(*) as bigint) as cluster_files,
        cast(sum(outcomes.size_bytes) as bigint) as cluster_bytes,
        cast(count(distinct outcomes.project) as bigint) as projects
    from clusters join outcomes on clusters.file = outcomes.file
    group by clusters.cluster
    order by cluster_files desc, cluster
    limit 20
),
members as (
    select
        largest.cluster as cluster, largest.cluster_files as cluster_files,
        largest.cluster_bytes as cluster_bytes, largest.projects as projects,
        outcomes.id as id, outcomes.source as source, outcomes.path as path,
        outcomes.language as language,
        case when outcomes.stage = 'near_duplicates' then 1 else 0 end as is_dropped,
        row_number() over (
            partition by largest.cluster
            order by case when outcomes.stage = 'near_duplicates' then 1 else 0 end, outcomes.id
        ) as place
    from largest
        join clusters on largest.cluster = clusters.cluster
        join outcomes on clusters.file = outcomes.file
)
select * from members where place <= 10
order by cluster_files desc, cluster, place
