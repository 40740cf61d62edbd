-- Share of code from completions
-- unit: share
-- better: higher
-- grain: one row per request or period of typing, to be added up by any of its other columns
-- params: none
-- numerator: characters accepted from completions
-- denominator: characters accepted from completions or typed by hand; pasted ones are left out
-- good for: how much of the typing is taken off; known elsewhere as ratio of completed code, or
--   percent of code written
-- misleads: deleted characters count as well, so text that is accepted and thrown away raises it;
--   typing what a completion suggests counts as typed
-- source: JetBrains, ratio of completed code, arXiv:2405.08704; Windsurf, percent of code written
select
    *,
    completed_chars as numerator,
    entered_chars as denominator
from hourly_facts
