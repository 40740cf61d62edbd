-- Failed requests
-- unit: share
-- better: lower
-- grain: one row per request or period of typing, to be added up by any of its other columns
-- params: none
-- numerator: requests that failed in the engine or on the way
-- denominator: requests that could have been answered, whatever became of them
-- good for: seeing at once that a backend or a network is in trouble
-- misleads: a request that the user gave up before the time-out counts as cancelled
-- source: Fimble
select
    *,
    errors as numerator,
    requests as denominator
from facts
