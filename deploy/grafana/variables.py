"""What both dashboards have in common: variables, time range, links."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models

from panels import DATASOURCE

OF_JOB = '{job_id=~"$job"}'
OF_WORKER = '{worker=~"$worker"}'


def _label_values(name, label, description, metric, metric_label):
    return (dashboard.QueryVariable(name).label(label).description(description).datasource(DATASOURCE)
            .query(f"label_values({metric}, {metric_label})").refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(models.VariableSort.ALPHABETICAL_ASC).multi(True).include_all(True).all_value(".*")
            .current(models.VariableOption(selected=True, text=["All"], value=["$__all"])))


JOB = _label_values("job", "Job", "Jobs that had series within the time range.", "gptvq_coordinator_job_layers", "job_id")
WORKER = _label_values("worker", "Worker", "Workers that were scraped within the time range.", "gptvq_worker_slots", "worker")


def new_dashboard(uid, title, description, variables):
    """A dashboard without panels."""
    board = (dashboard.Dashboard(title).uid(uid).description(description).tags(["gptvq"]).refresh("30s")
             .time("now-1h", "now").timezone("browser").tooltip(models.DashboardCursorSync.CROSSHAIR).readonly()
             .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
                            .description("Where the metrics are."))
             .link(dashboard.DashboardLink("GPTVQ dashboards").type(models.DashboardLinkType.DASHBOARDS).tags(["gptvq"])
                   .as_dropdown(False).include_vars(True).keep_time(True)))
    for variable in variables:
        board = board.with_variable(variable)
    return board
