-- How large clusters of near duplicates are.
-- grain: one row per number of files in a cluster and whether these are of several projects.
select
    cluster_files, across_projects,
    cast(count(*) as bigint) as clusters, cast(sum(cluster_bytes) as bigint) as bytes
from (
    select
        clusters.cluster as cluster, count(*) as cluster_files,
        sum(outcomes.size_bytes) as cluster_bytes,
        case when count(distinct outcomes.project) > 1 then 1 else 0 end as across_projects
    from clusters join outcomes on clusters.file = outcomes.file
    group by clusters.cluster
) sizes
group by cluster_files, across_projects
order by cluster_files, across_projects
