-- Acceptance of what could be read
-- unit: share
-- better: higher
-- grain: one row per request or period of typing, to be added up by any of its other columns
-- params: none
-- numerator: completions that were accepted, whole or in part
-- denominator: completions on screen for 750 ms or more, or accepted
-- good for: comparing models and settings, since what nobody had time to read does not count
--   against them
-- misleads: slow answers are seen less often, and seen ones are wanted more; it rises, too, when
--   weak completions are hidden
-- source: Sourcegraph Cody, completion acceptance rate of suggestions visible for 750 ms
select
    *,
    taken as numerator,
    seen as denominator
from facts
