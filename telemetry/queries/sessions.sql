-- Editor sessions, and what is missing of each.
-- grain: one row per session.
-- params: none
-- `seq` has no gaps, so the events that are not there can be counted. The events behind the last
-- one that arrived cannot: a session that was killed lost at most what its queue still held.
-- `clock_jump_ms` is how far the wall clock was set during the session; durations never use it.
select
    session_id,
    min(day) as day,
    min(editor) as editor,
    min(editor_version) as editor_version,
    min(plugin_version) as plugin_version,
    min(server_version) as server_version,
    min(level) as level,
    nullif(min(user_key), '') as user_key,
    nullif(min(key_epoch), 0) as key_epoch,
    nullif(min(team), '') as team,
    min(first_ms) as started_at_ms,
    max(last_ms) as last_event_at_ms,
    max(max_offset_ms) - min(min_offset_ms) as clock_jump_ms,
    bool_or(is_ended) as is_ended,
    sum(num_events)::bigint as num_events,
    max(last_seq) + 1 as num_expected,
    max(last_seq) + 1 - sum(num_events)::bigint as num_lost,
    max(num_dropped) as num_dropped,
    sum(num_served)::bigint as num_completions,
    sum(num_not_served)::bigint as num_not_served
from session_parts
group by session_id
