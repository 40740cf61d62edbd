-- Characters that are kept
-- unit: share
-- better: higher
-- grain: one row per request or period of typing, to be added up by any of its other columns
-- params: none
-- numerator: characters of accepted texts that stand after ten minutes, or at the last look before
-- denominator: characters of accepted texts that were looked at again
-- good for: whether what was accepted was wanted: a text that is rewritten at once was no help
-- misleads: texts whose document was closed at once are not looked at; a moved text that was not
--   found counts as removed
-- source: Ziegler et al. 2022 (unchanged after 600 s); Copilot and Cody look at the same times
select
    *,
    kept_chars as numerator,
    looked_at_chars as denominator
from facts
