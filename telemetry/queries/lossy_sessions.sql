-- Sessions of which events are missing, the worst first.
-- grain: one row per session that lost or dropped events.
-- params: none
select
    session_id,
    editor,
    server_version,
    num_events,
    num_expected,
    num_lost,
    num_dropped
from sessions
where num_lost > 0 or num_dropped > 0
order by num_lost desc, session_id
