-- Which arm of which experiment a request got; join `opportunities` on session and opportunity.
-- grain: one row per request and experiment.
-- params: none
select
    events.day,
    session_id,
    events.opportunity_id,
    events.ts_wall_ms as exposed_at_ms,
    events.experiment,
    events.arm,
    events.unit,
    events.bucket,
    events.is_eligible,
    events.flag_reason,
    events.propensity,
    sessions.user_key,
    sessions.team,
    sessions.editor,
    sessions.server_version
from events
left join sessions using (session_id)
where events.ev = 'exposed'
