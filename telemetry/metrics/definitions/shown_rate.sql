-- Completions that were shown
-- unit: share
-- better: higher
-- grain: one row per request or period of typing, to be added up by any of its other columns
-- params: none
-- numerator: completions that were on screen, as the editor says or the server infers
-- denominator: completions that went to the editor
-- good for: whether answers arrive in time
-- misleads: standard editors do not say what they show; most of it is inferred
-- source: Fimble
select
    *,
    shown as numerator,
    served as denominator
from facts
