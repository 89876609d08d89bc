"""Quantization progress: how far the jobs are, how good what they make is, and where their time goes."""

from grafana_foundation_sdk.builders import dashboard

from panels import (GREEN, ORANGE, RED, YELLOW, Column, Moment, Query, bars, facts, lines, matrix, number, rows_of_color,
                    steps)
from variables import JOB, OF_JOB, OF_WORKER, WORKER, new_dashboard

UID = "gptvq-progress"

# Names of a job for people; its id tells jobs of one model apart. When another coordinator takes over, or the same one comes
# back under another address, both have series for a moment: hence the maximum, here and of all that is shown by job.
NAMED = "on (job_id) group_left (model, preset) max by (job_id, model, preset) (gptvq_coordinator_job_info)"


def _of_job(metric):
    """The selected jobs' values of a metric, one for each."""
    return f"max by (job_id) (gptvq_coordinator_job_{metric}{OF_JOB})"


def build():
    board = new_dashboard(UID, "GPTVQ: quantization progress", "Jobs, quality, time and throughput.", [JOB, WORKER])
    board = (board
             .annotation(Moment("Job submitted", f"{_of_job('create_time_seconds')} * 1000", "blue", "{{job_id}}"))
             .annotation(Moment("Job ended", f"{_of_job('end_time_seconds')} * 1000", "green", "{{job_id}}")))
    for section in (_at_a_glance, _quality, _time, _workers):
        board = section(board)
    return board.build()


def _at_a_glance(board):
    return (board
            .with_panel(number("Layers done", "Share of the layers of the selected jobs that are committed.",
                               [Query(f"sum({_of_job('published_layers')}) / sum({_of_job('layers')})")],
                               "percentunit", colors=steps("blue", (1, GREEN)), decimals=0))
            .with_panel(number("Time left", "Until the last of the selected jobs ends, at the pace of its last tenth. Unknown "
                               "while a job has not begun.",
                               [Query(f"max(gptvq_coordinator_job_eta_seconds{OF_JOB})")], "dtdurations",
                               colors=steps("purple")))
            .with_panel(number("Bits per value", "What a weight occupies when packed, codebooks and scales included, on average "
                               "over the selected jobs.",
                               [Query(f"avg({_of_job('bits_per_value')})")], "none",
                               colors=steps("blue"), decimals=3))
            .with_panel(number("Worst linear", "Largest relative error tr(E H Eᵀ) / tr(W H Wᵀ) of a linear. Above 0.5 "
                               "GptvqLinearErrorHigh fires.",
                               [Query(f"max(gptvq_coordinator_job_linear_relative_error{OF_JOB})")], "percentunit",
                               colors=steps(GREEN, (0.2, YELLOW), (0.35, ORANGE), (0.5, RED)), decimals=1))
            .with_panel(number("Weights a second", "Quantized and published by the selected workers.",
                               [Query(f"sum(rate(gptvq_worker_published_weights_total{OF_WORKER}[$__rate_interval]))")],
                               "short", sparkline=True, colors=steps("blue"), decimals=1))
            .with_panel(number("Active jobs", "Jobs that have not ended, shown or not.",
                               [Query("sum(gptvq_coordinator_jobs)")], "none", sparkline=True, colors=steps("blue"),
                               decimals=0))
            .with_panel(facts("Jobs", "Jobs that have not ended, and those of the last five minutes.", "job_id",
                              {"model": "Model", "preset": "Preset", "state": "State", "job_id": "Job"},
                              f"max by (job_id, state) (gptvq_coordinator_job_state{OF_JOB}) * {NAMED}",
                              [Column("Progress", _of_job("progress_ratio"),
                                      "percentunit", gauge=True),
                               Column("Layers done", _of_job("published_layers"),
                                      "none"),
                               Column("Layers", _of_job("layers"), "none"),
                               Column("Time left", _of_job("eta_seconds"),
                                      "dtdurations"),
                               Column("Running for",
                                      f"time() - {_of_job('create_time_seconds')}",
                                      "dtdurations"),
                               Column("Bits per value", _of_job("bits_per_value"),
                                      "none")]))
            .with_panel(lines("Progress", "Share of each job's work that is done. A flat line is a job that waits or hangs.",
                              [Query(f"{_of_job('progress_ratio')} * {NAMED}",
                                     "{{model}} {{preset}} · {{job_id}}")],
                              "percentunit", low=0, high=1))
            .with_panel(lines("Time left", "Expected until each job ends. A rising line is a job that got slower.",
                              [Query(f"{_of_job('eta_seconds')} * {NAMED}",
                                     "{{model}} {{preset}} · {{job_id}}")],
                              "dtdurations", low=0)))


def _quality(board):
    return (board
            .with_row(dashboard.Row("Quality"))
            .with_panel(rows_of_color("Error by layer", "Mean relative error of a layer's linears, from when it was committed: "
                                      "the rows fill as the job goes on. With several jobs, their mean.",
                                      Query(f"avg by (layer) (gptvq_coordinator_job_linear_relative_error{OF_JOB})",
                                            "{{layer}}"),
                                      "percentunit", axis="layer", histogram=False))
            .with_panel(matrix("Error by layer and linear", "Relative error of each linear. One red row is a layer to look at; a "
                               "red column is a role that wants more bits.",
                               Query(f"max by (layer, role) (gptvq_coordinator_job_linear_relative_error{OF_JOB})"),
                               "layer", "role", "none"))
            .with_panel(rows_of_color("Distribution of errors", "Linears committed per moment, by relative error, over all jobs.",
                                      Query("sum by (le) (increase("
                                            "gptvq_coordinator_linear_relative_error_bucket[$__rate_interval]))", "{{le}}"),
                                      "none", axis="relative error", histogram=True, height=8))
            .with_panel(bars("Error by role", "Mean relative error of the committed linears of the selected jobs, by their place "
                             "in the layer.",
                             [Query(f"avg by (role) (gptvq_coordinator_job_linear_relative_error{OF_JOB})", "{{role}}")],
                             "percentunit", colors=steps(GREEN, (0.1, YELLOW), (0.25, ORANGE), (0.5, RED)), low=0,
                             width=6, decimals=2))
            .with_panel(bars("Bits per value", "Of each job so far.",
                             [Query(f"{_of_job('bits_per_value')} * {NAMED}",
                                    "{{model}} {{preset}}")],
                             "none", low=0, width=6, decimals=3)))


def _time(board):
    return (board
            .with_row(dashboard.Row("Where the time goes"))
            .with_panel(lines("Slots by phase", "Device slots that are in each phase, on average: load, forward (calibration), "
                              "hessian, quantize, publish, finalize, evaluate. Their sum is the number of busy slots.",
                              [Query(f"sum by (phase) (rate(gptvq_worker_phase_seconds_total{OF_WORKER}[$__rate_interval]))",
                                     "{{phase}}")],
                              "none", stacked=True, low=0, legend_values=("mean", "max")))
            .with_panel(bars("Stages of the recipe", "What quantize is made of, over the time range: factor (Cholesky), "
                             "clustering (seeding and EM), sweep, update (codebooks), refinement. Linears side by side "
                             "on a GPU count each, so the sum may be more than quantize took.",
                             [Query("sort_desc(sum by (stage) "
                                    f"(increase(gptvq_worker_linear_stage_seconds_total{OF_WORKER}[$__range])))",
                                    "{{stage}}")],
                             "s", low=0, width=6, decimals=1))
            .with_panel(bars("Phases over the time range", "Time of all slots together.",
                             [Query("sort_desc(sum by (phase) "
                                    f"(increase(gptvq_worker_phase_seconds_total{OF_WORKER}[$__range])))", "{{phase}}")],
                             "s", low=0, width=6, decimals=1)))


def _workers(board):
    return (board
            .with_row(dashboard.Row("Workers"))
            .with_panel(lines("Weights a second by worker", "Quantized and published.",
                              [Query("sum by (worker) "
                                     f"(rate(gptvq_worker_published_weights_total{OF_WORKER}[$__rate_interval]))",
                                     "{{worker}}")],
                              "short", stacked=True, low=0, interval="2m", width=8))
            .with_panel(lines("Time per layer", "From one published layer to the next, by worker. One worker above the others is a "
                              "slow machine, or one that shares its device.",
                              [Query(f"sum by (worker) (rate(gptvq_worker_layer_seconds_sum{OF_WORKER}[$__rate_interval]))"
                                     " / "
                                     f"sum by (worker) (rate(gptvq_worker_layer_seconds_count{OF_WORKER}[$__rate_interval]))",
                                     "{{worker}}")],
                              "s", low=0, interval="2m", width=8))
            .with_panel(lines("Busy slots by worker", "Device slots that hold a task.",
                              [Query(f"sum by (worker) (gptvq_worker_busy_slots{OF_WORKER})", "{{worker}}")],
                              "none", stacked=True, low=0, width=8, legend_values=("lastNotNull", "mean"))))
