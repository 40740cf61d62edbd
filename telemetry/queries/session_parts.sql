-- What one day says about a session, so that sessions need not be folded from all events each time.
-- grain: one row per session and day (UTC).
-- params: none
-- The wall clock minus the steady one is the same for all events of a session, unless somebody set
-- the clock.
select
    day,
    session_id,
    min(editor) as editor,
    min(editor_version) as editor_version,
    min(plugin_version) as plugin_version,
    min(server_version) as server_version,
    min(level) as level,
    min(user_key) as user_key,
    min(key_epoch) as key_epoch,
    min(team) as team,
    min(ts_wall_ms) as first_ms,
    max(ts_wall_ms) as last_ms,
    min(ts_wall_ms - ts_mono_ms) as min_offset_ms,
    max(ts_wall_ms - ts_mono_ms) as max_offset_ms,
    bool_or(ev = 'session_ended') as is_ended,
    count(*) as num_events,
    max(seq) as last_seq,
    max(num_events_dropped) as num_dropped,
    count(*) filter (where ev = 'served') as num_served,
    count(*) filter (where ev = 'opportunity') as num_not_served
from events
group by day, session_id
