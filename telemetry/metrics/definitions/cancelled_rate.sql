-- Requests that were cancelled
-- unit: share
-- better: lower
-- grain: one row per request or period of typing, to be added up by any of its other columns
-- params: none
-- numerator: requests that ended because the user typed on, or the editor withdrew them
-- denominator: requests that could have been answered, whatever became of them
-- good for: whether answers come too late for the pace of typing
-- misleads: editors that ask at every key cancel most requests; that is no fault of the model
-- source: JetBrains, explicit cancel rate, of requests instead of lookups
select
    *,
    cancelled as numerator,
    requests as denominator
from facts
