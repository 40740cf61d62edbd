-- Requests that were answered
-- unit: share
-- better: higher
-- grain: one row per request or period of typing, to be added up by any of its other columns
-- params: none
-- numerator: requests that got a completion
-- denominator: requests that could have been answered, whatever became of them
-- good for: finding out where completions are withheld: empty answers, filters, errors, users who
--   type on
-- misleads: not every place wants a completion; more is not always better
-- source: Fimble
select
    *,
    served as numerator,
    requests as denominator
from facts
