-- Accepted per request
-- unit: share
-- better: higher
-- grain: one row per request or period of typing, to be added up by any of its other columns
-- params: none
-- numerator: completions that were accepted, whole or in part
-- denominator: requests that could have been answered, whatever became of them
-- good for: deciding experiments: nothing can be gained by showing less, being late, or failing
-- misleads: depends on how often the editor asks; compare editors and triggers with care
-- source: Fimble: acceptance over opportunities, so that filters cannot flatter it
select
    *,
    taken as numerator,
    requests as denominator
from facts
