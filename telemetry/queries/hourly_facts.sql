-- The view `facts`, with periods of typing told by model where the session used only one.
-- grain: one row per request, and one row per session, language and period of five minutes.
-- params: none
with used as (
    select
        session_id,
        min(model) as used_model
    from facts
    where requests > 0
    group by session_id
    having min(model) = max(model)
)

select facts.* replace (coalesce(facts.model, used.used_model) as model)
from facts
left join used using (session_id)
