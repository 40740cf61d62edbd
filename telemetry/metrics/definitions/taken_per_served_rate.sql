-- Accepted per completion
-- unit: share
-- better: higher
-- grain: one row per request or period of typing, to be added up by any of its other columns
-- params: none
-- numerator: completions that were accepted, whole or in part
-- denominator: completions that went to the editor, shown or not
-- good for: whether what is generated is worth its cost
-- misleads: completions that arrive too late to be shown count as not accepted; editors that ask
--   more often look worse
-- source: Fimble: between `acceptance_rate` and `taken_per_opportunity`
select
    *,
    taken as numerator,
    served as denominator
from facts
