-- Rejections
-- unit: share
-- better: lower
-- grain: one row per request or period of typing, to be added up by any of its other columns
-- params: none
-- numerator: completions that were typed otherwise or dismissed
-- denominator: completions that were shown
-- good for: whether suggestions disturb
-- misleads: who types on without looking rejects, too; `moved_away` is not counted
-- source: Fimble; outcome `rejected`
select
    *,
    rejected as numerator,
    shown as denominator
from facts
