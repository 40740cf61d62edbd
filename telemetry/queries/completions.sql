-- Completions: the requests that were served.
-- grain: one row per completion.
-- params: none
select * exclude (is_served, not_served_reason, not_served_detail)
from opportunities
where is_served
