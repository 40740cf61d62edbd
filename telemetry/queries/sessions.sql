-- Editor sessions, and what is missing of each.
-- grain: one row per session.
-- params: none
-- `seq` has no gaps, so the events that are not there can be counted. The events behind the last
-- one that arrived cannot: a session that was killed lost at most what its queue still held.
select
    session_id,
    any_value(editor) as editor,
    any_value(editor_version) as editor_version,
    any_value(server_version) as server_version,
    min(ts_wall_ms) as started_at_ms,
    max(ts_wall_ms) as last_event_at_ms,
    bool_or(ev = 'session_ended') as is_ended,
    count(*) as num_events,
    max(seq) + 1 as num_expected,
    max(seq) + 1 - count(*) as num_lost,
    max(num_events_dropped) as num_dropped,
    count(distinct completion_id) as num_completions
from events
group by session_id
