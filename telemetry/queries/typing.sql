-- How text came into documents, counted by the editor session for five minutes at a time.
-- grain: one row per session, language and period.
-- params: none
select
    events.day,
    session_id,
    sessions.user_key,
    sessions.team,
    sessions.editor,
    sessions.editor_version,
    sessions.plugin_version,
    sessions.server_version,
    events.ts_wall_ms as until_ms,
    events.language,
    events.period_ms,
    events.active_ms,
    events.inserted_chars,
    events.completed_chars,
    events.deleted_chars,
    events.pasted_chars
from events
left join sessions using (session_id)
where events.ev = 'typing'
