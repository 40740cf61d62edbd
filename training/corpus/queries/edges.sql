-- Pairs that may be near duplicates: in each bucket every file with the smallest one and with the
-- four before it. A star alone loses one in ten of the pairs near the threshold, since its middle may
-- be in the bucket by chance; all pairs would be quadratic in the size of a bucket.
-- grain: one row per pair of files that share a bucket.
with live as (
    select bands.file as file, bands.band as band
    from bands join copies on bands.file = copies.file
    where copies.place = 1
),
neighbours as (
    select
        file,
        min(file) over (partition by band) as smallest,
        lag(file, 1) over (partition by band order by file) as back_1,
        lag(file, 2) over (partition by band order by file) as back_2,
        lag(file, 3) over (partition by band order by file) as back_3,
        lag(file, 4) over (partition by band order by file) as back_4
    from live
)
select smallest as a, file as b from neighbours where smallest <> file
union
select back_1 as a, file as b from neighbours where back_1 is not null
union
select back_2 as a, file as b from neighbours where back_2 is not null
union
select back_3 as a, file as b from neighbours where back_3 is not null
union
select back_4 as a, file as b from neighbours where back_4 is not null
