"""Where MLflow's UI shows the report of a study: an artifact of the study's latest launch."""

from bench.record.database import TAG_LEDGER, TAG_ROLE, ask

REPORT = "report.html"
"""The artifact."""

TAG_REPORT = "gpt_bench.report"
"""The tag of a launch that has it."""

_LATEST = f"""
    SELECT r.experiment_id, r.run_uuid, report.value FROM runs r
    JOIN tags ledger ON ledger.run_uuid = r.run_uuid AND ledger.key = '{TAG_LEDGER}'
    JOIN tags role ON role.run_uuid = r.run_uuid AND role.key = '{TAG_ROLE}'
    LEFT JOIN tags report ON report.run_uuid = r.run_uuid AND report.key = '{TAG_REPORT}'
    WHERE ledger.value = ? AND role.value = 'launch' AND r.lifecycle_stage = 'active'
    ORDER BY r.start_time DESC LIMIT 1
"""


def report_page(experiment_id: str, run_id: str) -> str:
    """The page, relative to the UI's root: as a link it works in a description too."""
    page = f"#/experiments/{experiment_id}/runs/{run_id}/artifacts/{REPORT}"
    return f"{page}?workflowType=machine_learning"


def report_page_of(address: str, ledger: str) -> str | None:
    """The page of a ledger's report, without MLflow; None if there is none, or only MLflow could
    tell.

    Args:
        address: of the tracking store.
        ledger: its id.
    """
    for experiment_id, run_id, report in ask(address, _LATEST, ledger) or ():
        return report_page(str(experiment_id), run_id) if report else None
    return None
