# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""How much of what is suggested is accepted, by anything."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Acceptance")


@app.cell(hide_code=True)
def _():
    import marimo as mo

    from telemetry.metrics.definition import definitions
    from telemetry.metrics.question import DIMENSIONS
    from telemetry.report import plots
    from telemetry.report.gather import Asker
    from telemetry.ui import desk

    return Asker, DIMENSIONS, definitions, desk, mo, plots


@app.cell(hide_code=True)
def _(definitions, desk, mo, DIMENSIONS):
    ratios = {each.title: name for name, each in definitions().items() if each.is_ratio}
    metric = mo.ui.dropdown(ratios, value="Acceptance of what could be read", label="metric")
    period = mo.ui.dropdown(list(desk.PERIODS), value=desk.EVER, label="of")
    by = mo.ui.dropdown(
        [n for n in DIMENSIONS if n not in {"day", "week", "month"}], value="language", label="by"
    )
    mo.vstack([mo.md("# Acceptance"), mo.hstack([metric, by, period], justify="start", wrap=True)])
    return by, metric, period


@app.cell(hide_code=True)
def _(definitions, metric, mo):
    found = definitions()[metric.value]
    mo.md(
        f"**{found.title}**: {' / '.join(found.means)}. "
        f"Good for {found.good_for}. *Misleads:* {found.misleads}."
    )
    return (found,)


@app.cell(hide_code=True)
def _(by, desk, found, metric, mo, period, plots):
    rows = desk.asked(lambda asker: asker.ratio(metric.value, by.value), period.value)
    plot = plots.of_values(rows, metric.value, title=f"{found.title} by {by.value}")
    table = desk.ratio_table(rows, [by.value], metric.value)
    mo.vstack(
        [
            mo.Html(desk.drawn(plot)) if plot else mo.md("*No group has an interval yet.*"),
            mo.ui.table(table, selection=None) if table else mo.md("*Nothing was recorded.*"),
        ]
    )
    return


@app.cell(hide_code=True)
def _(desk, found, metric, mo, period, plots):
    days = desk.asked(lambda asker: asker.ratio(metric.value, "day"), period.value)
    trend = plots.of_days(days, metric.value, title=f"{found.title}, day by day")
    mo.vstack([mo.md("## Day by day"), mo.Html(desk.drawn(trend))]) if trend else mo.md("")
    return


if __name__ == "__main__":
    app.run()
