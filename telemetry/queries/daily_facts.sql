-- The view `facts` with requests added up by session and day: the same sums from a tenth of the rows.
-- grain: one row per day, session, language, trigger, backend and model, and one per period of typing.
-- params: none
-- `scope` and `cache` are not told; `requests` is how many a row stands for, and null of typing.
select *
from daily
union all by name
select * exclude (scope, cache)
from facts
where requests is null
