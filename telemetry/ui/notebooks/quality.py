# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Whether the data can be trusted: loss, versions, clocks, who says what."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Data quality")


@app.cell(hide_code=True)
def _():
    import marimo as mo

    from telemetry.doctor import report_lines
    from telemetry.report.doubts import doubts
    from telemetry.ui import desk

    return desk, doubts, mo, report_lines


@app.cell(hide_code=True)
def _(desk, doubts, mo):
    findings = desk.doctors_findings()
    rows = desk.asked(lambda asker: asker.quality())
    totals = desk.asked(lambda asker: asker.totals())
    told = doubts(totals, rows, findings)
    text = "\n".join(f"- {each}" for each in told) or "Nothing is to be doubted."
    mo.md(f"# Data quality\n{text}")
    return findings, rows


@app.cell(hide_code=True)
def _(desk, mo, rows):
    table = desk.quality_table(rows)
    mo.ui.table(table, selection=None) if table else mo.md("*Nothing was recorded.*")
    return


@app.cell(hide_code=True)
def _(findings, mo, report_lines):
    mo.vstack([mo.md("## The doctor says"), mo.plain_text("\n".join(report_lines(findings)))])
    return


if __name__ == "__main__":
    app.run()
