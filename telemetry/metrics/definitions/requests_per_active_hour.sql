-- Requests per active hour
-- unit: requests per hour
-- better: neither
-- grain: one row per request or period of typing, to be added up by any of its other columns
-- params: none
-- numerator: requests that could have been answered
-- denominator: hours with edits, in which pauses of up to a minute count
-- good for: how busy editors and backends are; why rates per request differ between editors
-- misleads: by model, only hours of sessions with one model count
-- source: Fimble
select
    *,
    requests as numerator,
    active_hours as denominator
from hourly_facts
