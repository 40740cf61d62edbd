-- Without a known end
-- unit: share
-- better: lower
-- grain: one row per request or period of typing, to be added up by any of its other columns
-- params: none
-- numerator: completions of which no end was recorded (yet)
-- denominator: completions that went to the editor
-- good for: whether the other metrics can be trusted: these were not counted as rejected
-- misleads: open sessions have some; many mean lost events or killed sessions
-- source: Fimble; outcome `unresolved`
select
    *,
    unresolved as numerator,
    served as denominator
from facts
