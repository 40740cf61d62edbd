-- Time to the answer
-- unit: ms
-- better: lower
-- grain: one row per completion, with all its columns
-- params: none
-- value: milliseconds from the request to the whole answer
-- good for: what users wait for; by `cache`, what a new generation costs
-- misleads: answers from memory take next to nothing: look at `cache` = miss, or a full cache hides
--   a slow model
-- source: Masson, Rim and Lee 2019, DDSketch, VLDB 12(12): buckets whose counts add up, percentiles
--   within 1 %
select
    *,
    coalesce(user_key, session_id) as who,
    total_ms as value
from completions
where total_ms > 0
