-- Undone at once
-- unit: share
-- better: lower
-- grain: one row per request or period of typing, to be added up by any of its other columns
-- params: none
-- numerator: accepted texts that were taken back within five seconds
-- denominator: completions that were accepted, whole or in part
-- good for: accepts that were mistakes: wrong key, or not what it looked like
-- misleads: text that is corrected by hand does not count; see `kept_chars_rate`
-- source: JetBrains, share of completions deleted after acceptance, arXiv:2405.08704
select
    *,
    undone as numerator,
    taken as denominator
from facts
