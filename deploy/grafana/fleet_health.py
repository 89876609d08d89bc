"""Fleet health: whether the coordinator, the workers, the journal and the machines are well."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import common as common_models

from panels import (BLUE, GREEN, ORANGE, RED, YELLOW, Moment, Query, Span, bars, happenings, lines, number, rows_of_color,
                    steps)
from variables import OF_WORKER, WORKER, new_dashboard

UID = "gptvq-fleet"
NO_EXPORTER = "Prometheus scrapes no dcgm-exporter"


def build():
    board = new_dashboard(UID, "GPTVQ: fleet health", "Leases, failures, queue, calls, storage and machines.", [WORKER])
    board = (board
             .annotation(Moment("Coordinator started", "gptvq_coordinator_start_time_seconds * 1000", "orange",
                                "{{instance}}"))
             .annotation(Moment("Worker started", f"gptvq_worker_start_time_seconds{OF_WORKER} * 1000", "blue", "{{worker}}"))
             .annotation(Span("Alert", 'ALERTS{alertname=~"Gptvq.*", alertstate="firing"}', "red", "{{alertname}}")))
    for section in (_at_a_glance, _work, _calls, _storage, _machines, _gpus):
        board = section(board)
    return board.build()


def _at_a_glance(board):
    background = common_models.BigValueColorMode.BACKGROUND
    return (board
            .with_panel(number("Coordinator", "Ready: one leads and its journal answers. Where several share a journal, the "
                               "others stand by.",
                               [Query("max(gptvq_coordinator_ready) or vector(0)")], "none",
                               colors=steps(RED, (1, GREEN)), words={0: "not ready", 1: "ready"}, color_mode=background))
            .with_panel(number("Workers", "That called the coordinator lately. An autoscaler may leave none while there is no "
                               "work.", [Query("sum(gptvq_coordinator_workers)")],
                               "none", colors=steps(BLUE, (1, GREEN)), color_mode=background))
            .with_panel(number("Alerts", "Of ours that fire; docs/runbook.md has a section for each.",
                               [Query('count(ALERTS{alertname=~"Gptvq.*", alertstate="firing"}) or vector(0)')], "none",
                               colors=steps(GREEN, (1, RED)), color_mode=background))
            .with_panel(number("Busy slots", "Share of the device slots that hold a task. Low while tasks are ready: something "
                               "is wrong with the workers.",
                               [Query("gptvq:slots_busy:ratio")], "percentunit", sparkline=True, decimals=0))
            .with_panel(number("Ready tasks", "What waits for a worker.", [Query("gptvq:tasks_ready:sum")], "none",
                               sparkline=True, decimals=0))
            .with_panel(number("Leases lost", "Expired over the time range: workers that died or fell silent.",
                               [Query("sum(increase(gptvq_coordinator_leases_expired_total[$__range]))")], "none",
                               colors=steps(GREEN, (1, YELLOW), (4, RED)), decimals=0)))


def _work(board):
    return (board
            .with_row(dashboard.Row("Queue and leases"))
            .with_panel(lines("Tasks by state", "Of the jobs that have not ended.",
                              [Query("sum by (state) (gptvq_coordinator_tasks) > 0", "{{state}}")], "none", stacked=True,
                              low=0, width=8))
            .with_panel(lines("Slots wanted and there", "What could work at this moment, against what there is: where wanted "
                              "stays above, more workers would help.",
                              [Query("gptvq:slots_wanted:sum", "wanted"), Query("sum(gptvq_worker_slots)", "there"),
                               Query("sum(gptvq_worker_busy_slots)", "busy")], "none", low=0, width=8))
            .with_panel(lines("Jobs", "That have not ended, by state.",
                              [Query("sum by (state) (gptvq_coordinator_jobs) > 0", "{{state}}")], "none", stacked=True,
                              low=0, width=8))
            .with_panel(happenings("What happened to tasks", "Changes of tasks by trigger: grants and commits are work, the "
                                   "others are trouble.",
                                   "gptvq_coordinator_task_changes_total"
                                   '{trigger=~"grant|commit|retry|fail|poison|release|expire|stall|revoke|cancel"}',
                                   "trigger", "{{trigger}}", condition=" > 0"))
            .with_panel(happenings("Failures by class", "Infra and device are the machines', with a lease that expired among "
                                   "infra; input is the user's, bug is ours.",
                                   "gptvq_coordinator_task_failures_total", "class", "{{class}}"))
            .with_panel(happenings("How leases ended", "As the workers saw it. Lost means that the coordinator had given the task "
                                   "away.", f"gptvq_worker_tasks_total{OF_WORKER}", "result", "{{result}}"))
            .with_panel(happenings("Audits", "Shards that were to be computed a second time, by what came of it. Upheld, overturned "
                                   "or undecided: a machine computes wrong. gptvq-client workers names those in quarantine; take "
                                   "them out and test them, as the runbook says under GptvqResultsDiffer. Skipped: no other "
                                   "worker of the class was there.", "gptvq_coordinator_audits_total", "outcome",
                                   "{{outcome}}"))
            .with_panel(lines("Workers without work", "Quarantined: they failed what others can do. Suspect: they would be, but too "
                              "many are already.",
                              [Query("max(gptvq_coordinator_workers_quarantined)", "quarantined"),
                               Query("max(gptvq_coordinator_workers_suspect)", "suspect")], "none", low=0, width=8))
            .with_panel(happenings("Checkpoints", "Of the linears of unfinished layers. Used: another attempt went on behind one. "
                                   "Unusable: it began the layer again. Failed: one could not be kept.",
                                   f"gptvq_worker_checkpoints_total{OF_WORKER}", "result", "{{result}}")))


def _calls(board):
    return (board
            .with_row(dashboard.Row("Calls"))
            .with_panel(lines("Calls by method", "Calls of the services per second.",
                              [Query("sum by (method) (rate(gptvq_coordinator_calls_total[$__rate_interval])) > 0",
                                     "{{method}}")], "reqps", stacked=True, low=0, width=8))
            .with_panel(lines("Slowest calls", "The time that 99 of 100 calls stay below. Without LeaseTask and WatchJob, which wait "
                              "for news.",
                              [Query('method:call_seconds:p99_5m{method!~"LeaseTask|WatchJob"} > 0', "{{method}}")], "s",
                              low=0, width=8))
            .with_panel(lines("Calls that failed", "By status code. NOT_FOUND, FAILED_PRECONDITION and INVALID_ARGUMENT are the "
                              "caller's, INTERNAL, UNKNOWN and DATA_LOSS are ours.",
                              [Query('sum by (method, code) (rate(gptvq_coordinator_calls_total{code!="OK"}'
                                     "[$__rate_interval]))", "{{method}} {{code}}")],
                              "reqps", low=0, width=8, empty="No call failed"))
            .with_panel(happenings("Repeated calls of workers", "Calls that a worker made again: the coordinator was away, or the "
                                   "network lost them.", f"gptvq_worker_call_retries_total{OF_WORKER}", "worker", "{{worker}}",
                                   width=12))
            .with_panel(lines("Open calls", "Polls that wait for work, watchers of jobs, layers being received.",
                              [Query("sum(gptvq_coordinator_waiting_polls)", "polls"),
                               Query("sum(gptvq_coordinator_watchers)", "watchers"),
                               Query("sum(gptvq_coordinator_uploads)", "uploads")], "none", low=0, width=12)))


def _storage(board):
    return (board
            .with_row(dashboard.Row("Storage"))
            .with_panel(rows_of_color("Journal", "Durable journal entries, by the time they took.",
                                      Query("sum by (le) (increase("
                                            "gptvq_coordinator_decision_seconds_bucket[$__rate_interval]))", "{{le}}"),
                                      "s", axis="per entry", histogram=True, width=10, height=8))
            .with_panel(lines("Bytes", "Read and written by the workers, and packed layers that the coordinator took, per second.",
                              [Query(f"sum(rate(gptvq_worker_read_bytes_total{OF_WORKER}[$__rate_interval]))", "read"),
                               Query(f"sum(rate(gptvq_worker_written_bytes_total{OF_WORKER}[$__rate_interval]))", "written"),
                               Query("sum(rate(gptvq_coordinator_published_bytes_total[$__rate_interval]))", "published")],
                              "Bps", low=0, width=10))
            .with_panel(number("Disk of the journal", "What is free. Below a tenth GptvqJournalDiskLow fires. Nothing to say where "
                               "PostgreSQL has the journal.",
                               [Query("min(gptvq_coordinator_data_directory_free_bytes"
                                      " / gptvq_coordinator_data_directory_bytes)")],
                               "percentunit", colors=steps(RED, (0.1, ORANGE), (0.2, GREEN)), decimals=0, width=4,
                               height=8)))


def _machines(board):
    return (board
            .with_row(dashboard.Row("Machines"))
            .with_panel(lines("Cores in use", "By each worker, and by the coordinator.",
                              [Query(f"rate(gptvq_worker_cpu_seconds_total{OF_WORKER}[$__rate_interval])", "{{worker}}"),
                               Query("rate(gptvq_coordinator_cpu_seconds_total[$__rate_interval])", "coordinator {{instance}}")],
                              "none", low=0, width=8))
            .with_panel(lines("Memory", "Of each process, in RAM.",
                              [Query(f"gptvq_worker_resident_memory_bytes{OF_WORKER}", "{{worker}}"),
                               Query("gptvq_coordinator_resident_memory_bytes", "coordinator {{instance}}")], "bytes", low=0, width=8))
            .with_panel(bars("Versions", "What runs how often. Two versions for long are an upgrade that got stuck.",
                             [Query("count by (version) (gptvq_coordinator_build_info)", "coordinator {{version}}"),
                              Query("count by (version) (gptvq_worker_build_info)", "worker {{version}}")], "none", low=0,
                             colors=steps(BLUE), width=8, decimals=0)))


def _gpus(board):
    return (board
            .with_row(dashboard.Row("GPUs, where there are any"))
            .with_panel(lines("Memory of GPUs", "In use on each GPU, as the worker's driver says.",
                              [Query(f"gptvq_worker_slot_used_memory_bytes{OF_WORKER} / gptvq_worker_slot_memory_bytes{OF_WORKER}",
                                     "{{worker}} {{slot}}")],
                              "percentunit", low=0, high=1, colors=steps("transparent", (0.95, RED)), width=8,
                              empty="No worker computes on a GPU"))
            .with_panel(lines("Load of GPUs", "How much of the time each GPU computes, from NVIDIA's dcgm-exporter.",
                              [Query("DCGM_FI_DEV_GPU_UTIL / 100", "{{Hostname}} {{gpu}}")], "percentunit", low=0, high=1,
                              width=8, empty=NO_EXPORTER))
            .with_panel(lines("Errors of GPUs", "XID errors, from NVIDIA's dcgm-exporter: a number other than 0 names what "
                              "happened last.",
                              [Query("DCGM_FI_DEV_XID_ERRORS", "{{Hostname}} {{gpu}}")], "none", low=0, width=8,
                              empty=NO_EXPORTER)))
