-- Typed through
-- unit: share
-- better: neither
-- grain: one row per request or period of typing, to be added up by any of its other columns
-- params: none
-- numerator: completions that the user typed by hand to the end, as suggested
-- denominator: completions that were shown
-- good for: right suggestions that nobody accepted: too short, too late, or a habit
-- misleads: very short completions are typed through by chance
-- source: Fimble; outcome `typed_through`
select
    *,
    typed_through as numerator,
    shown as denominator
from facts
