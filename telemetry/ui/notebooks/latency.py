# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""How long answers take, and where the time goes."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Latency")


@app.cell(hide_code=True)
def _():
    import marimo as mo

    from telemetry.metrics.definition import definitions
    from telemetry.metrics.question import DIMENSIONS
    from telemetry.report import plots
    from telemetry.ui import desk

    return DIMENSIONS, definitions, desk, mo, plots


@app.cell(hide_code=True)
def _(DIMENSIONS, definitions, desk, mo):
    times = {each.title: name for name, each in definitions().items() if not each.is_ratio}
    metric = mo.ui.dropdown(times, value="Time to the answer", label="time")
    by = mo.ui.dropdown(list(DIMENSIONS), value="cache", label="by")
    period = mo.ui.dropdown(list(desk.PERIODS), value=desk.EVER, label="of")
    mo.vstack([mo.md("# Latency"), mo.hstack([metric, by, period], justify="start", wrap=True)])
    return by, metric, period


@app.cell(hide_code=True)
def _(by, definitions, desk, metric, mo, period):
    found = definitions()[metric.value]
    rows = desk.asked(lambda asker: asker.spread(metric.value, by.value), period.value)
    table = desk.spread_table(rows, [by.value])
    mo.vstack(
        [
            mo.md(f"**{found.title}**: {found.means[0]}. *Misleads:* {found.misleads}."),
            mo.ui.table(table, selection=None) if table else mo.md("*Nothing was recorded.*"),
        ]
    )
    return


@app.cell(hide_code=True)
def _(desk, mo, period, plots):
    histograms = desk.asked(lambda asker: asker.histograms(), period.value)
    curves = plots.latencies(histograms, title="Time to the answer") if histograms else ""
    drawn_in = ["blue", "orange", "grey", "grey"]
    key = ", ".join(f"{name} is {color}" for name, color in zip(histograms, drawn_in, strict=False))
    text = f"## Share of the answers that took no longer\n{key}"
    mo.vstack([mo.md(text), mo.Html(desk.drawn(curves))]) if curves else mo.md("")
    return


if __name__ == "__main__":
    app.run()
