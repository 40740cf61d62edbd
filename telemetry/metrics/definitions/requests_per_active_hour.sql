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
with used as (
    select
        session_id,
        min(model) as used_model
    from opportunities
    group by session_id
    having min(model) = max(model)
)

select
    facts.* replace (coalesce(facts.model, used.used_model) as model),
    requests as numerator,
    active_hours as denominator
from facts
left join used using (session_id)
