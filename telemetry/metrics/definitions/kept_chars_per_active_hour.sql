-- Characters kept per active hour
-- unit: characters per hour
-- better: higher
-- grain: one row per request or period of typing, to be added up by any of its other columns
-- params: none
-- numerator: characters of accepted texts that stand after ten minutes, or at the last look before
-- denominator: hours with edits, in which pauses of up to a minute count
-- good for: the worth of completions to those who type; the best single measure of the whole
--   product
-- misleads: differs by language and kind of work more than by model; by model, only hours of
--   sessions with one model count
-- source: Ziegler et al. 2022, characters accepted and unchanged per active hour
select
    *,
    kept_chars as numerator,
    active_hours as denominator
from hourly_facts
