-- Acceptance by characters
-- unit: share
-- better: higher
-- grain: one row per request or period of typing, to be added up by any of its other columns
-- params: none
-- numerator: characters accepted from completions
-- denominator: characters of completions that were shown
-- good for: whether the long ones are accepted, too; a word taken out of twenty lines counts as a
--   word
-- misleads: one long completion outweighs many short ones; says nothing of whether the text was
--   kept
-- source: Sourcegraph Cody, weighted completion acceptance rate
select
    *,
    accepted_chars as numerator,
    shown_chars as denominator
from facts
