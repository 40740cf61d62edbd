-- Acceptance
-- unit: share
-- better: higher
-- grain: one row per request or period of typing, to be added up by any of its other columns
-- params: none
-- numerator: completions that were accepted, whole or in part
-- denominator: completions that were shown, however briefly
-- good for: comparing with published acceptance rates; of all simple measures it follows best what
--   users say of their productivity
-- misleads: it rises when weak completions are hidden, and falls where fast typists outrun what
--   flashes by; show `taken_per_opportunity` beside it
-- source: Ziegler et al. 2022, Productivity assessment of neural code completion, arXiv:2205.06537
select
    *,
    taken as numerator,
    shown as denominator
from facts
