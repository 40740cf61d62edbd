-- Time to the screen
-- unit: ms
-- better: lower
-- grain: one row per completion, with all its columns
-- params: none
-- value: milliseconds from the request until the completion was on screen, as far as the server can
--   know
-- good for: what users see
-- misleads: inferred where the editor does not say what it shows; completions that came too late to
--   be shown are missing
-- source: Masson, Rim and Lee 2019, DDSketch, VLDB 12(12): buckets whose counts add up, percentiles
--   within 1 %
select
    *,
    coalesce(user_key, session_id) as who,
    shown_delay_ms as value
from completions
where shown_delay_ms > 0
