-- Time to the first token
-- unit: ms
-- better: lower
-- grain: one row per completion, with all its columns
-- params: none
-- value: milliseconds from the request to the first token, where one was generated
-- good for: queues and prompts of the backend
-- misleads: says nothing about how long the rest takes
-- source: Masson, Rim and Lee 2019, DDSketch, VLDB 12(12): buckets whose counts add up, percentiles
--   within 1 %
select
    *,
    coalesce(user_key, session_id) as who,
    first_token_ms as value
from completions
where first_token_ms > 0
