-- Requests, with what the metrics count of them: each word has its one meaning here.
-- grain: one row per request that could have been answered; a completion is one that was.
-- params: none
-- taken: accepted, whole or in part.
-- seen: on screen for 750 ms or more, so that it could be read, or taken.
-- kept_chars: characters of an accepted text that stand after ten minutes; where the document was
-- closed before, at the last look. Null where nobody looked.
select
    *,
    coalesce(outcome in ('accepted', 'accepted_part'), false) as is_taken,
    is_shown
    and (coalesce(visible_ms >= 750, false) or coalesce(outcome in ('accepted', 'accepted_part'), false))
        as is_seen,
    coalesce(kept_chars_600s, kept_chars_end, kept_chars_300s, kept_chars_120s, kept_chars_30s)
        as kept_chars
from requests
