"""What a person finds in MLflow of a finished study, and what nobody must find there."""

import base64
import json
import statistics
import zlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from mlflow.entities import Run
from safetensors.torch import load_model
from workplace import Finished

from bench.record.metric_names import final_name
from bench.record.tracking import AXES, TAG_CELL_KEY, TAG_COLOUR, TAG_CURVE, colours, load_config
from bench.record.tracking.colours import PALETTE, colour_of
from gpt.config import RunConfig
from gpt.tokenizers import load_tokenizer
from gpt.training.evaluate import evaluate
from gpt.training.setup import set_up

CURVES = {
    "train/loss",
    "train/bytes",
    "train/tokens",
    "train/flops",
    "train/seconds",
    "train/learning_rate",
    "train/grad_norm",
    "val/loss",
    "val/bpb",
    "val_part/loss",
    "val_part/bpb",
    "speed/tokens_s",
    "speed/step_ms",
}
COLUMNS = ["tags.`result`", "params.`tokenizer`", "tags.`cost`", "params.`seed`"]
FILES = {
    "config.json",
    "environment.json",
    "curve.csv",
    "sample.txt",
    "model.safetensors",
    "tokenizer",
}


@pytest.fixture
def run(finished: Finished) -> Run:
    return finished.place.records()[0]


def artifacts(run: Run) -> Path:
    return Path(run.info.artifact_uri.removeprefix("file://"))


def test_an_experiment_a_study_with_its_description(finished: Finished) -> None:
    experiment = finished.place.client.get_experiment_by_name("tiny")
    assert experiment is not None
    note = experiment.tags["mlflow.note.content"]
    assert note.startswith("Does a head more sing better?")
    assert "Details" in note


def test_a_launch_holds_a_run_for_each_cell_and_seed(finished: Finished) -> None:
    *_, launch = finished.place.records("launch")
    runs = finished.place.records()

    assert {run.info.run_name for run in runs} == {
        f"n_head {n_head} · {seed}" for n_head in (1, 2) for seed in (0, 1)
    }
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {launch.info.run_id}
    assert {run.info.status for run in [launch, *runs]} == {"FINISHED"}
    assert "n_head 2" in launch.data.tags["mlflow.note.content"]
    assert {"python", "platform", "code"} <= set(launch.data.tags)


def test_a_run_s_params_are_its_settled_config(run: Run) -> None:
    config = RunConfig.from_json((artifacts(run) / "config.json").read_text("utf-8"))
    expected = {k: str(v) for k, v in config.flat().items() if v is not None}

    assert {k: v for k, v in run.data.params.items() if k != "vocab_size"} == expected
    assert run.data.params["budget"] == "12 steps"
    assert run.data.params["vocab_size"] == run.data.tags["vocab_size"]


def test_a_run_s_tags_say_what_it_was_made_of(run: Run) -> None:
    tags = run.data.tags
    assert tags["outcome"] == "complete"
    assert tags["cell"] == run.info.run_name.partition(" · ")[0]
    assert len(tags["corpus_digest"]) == 64
    assert {"tokenizer_digest", "device_name", "threads", "kernel", "run_key"} <= set(tags)


def test_how_many_runs_were_side_by_side_is_a_tag_and_in_the_ledger(finished: Finished) -> None:
    recorded = {
        (run.data.tags[TAG_CELL_KEY], run.data.params["seed"]): run.data.tags["runs_side_by_side"]
        for run in finished.place.records()
    }
    assert recorded == {
        (entry.config.cell_key, str(entry.config.train.seed)): str(
            entry.facts["runs_side_by_side"]
        )
        for entry in finished.place.entries()
    }
    assert set(recorded.values()) <= {"1", "2"}


def test_a_run_names_its_dataset(run: Run) -> None:
    [given] = run.inputs.dataset_inputs
    assert given.dataset.name == "song.txt"
    assert run.data.tags["corpus_digest"].startswith(given.dataset.digest)


def test_the_curves_are_whole(finished: Finished, run: Run) -> None:
    history = {
        name: finished.place.client.get_metric_history(run.info.run_id, name) for name in CURVES
    }
    assert [metric.step for metric in history["train/loss"]] == [1, 3, 6, 9, 10, 12]
    assert [metric.step for metric in history["val_part/bpb"]] == [3, 6, 9, 12]
    assert [metric.step for metric in history["val/bpb"]] == [12]
    curve = pd.read_csv(artifacts(run) / "curve.csv").set_index("step")
    for name, metrics in history.items():
        found = curve[name].dropna()
        assert [m.step for m in metrics] == list(found.index)
        assert [m.value for m in metrics] == pytest.approx(list(found))


def test_the_final_numbers_are_metrics_too(finished: Finished, run: Run) -> None:
    metrics = run.data.metrics
    entry = next(e for e in finished.place.entries() if e.config.key == run.data.tags["run_key"])

    assert {name: metrics[final_name(name)] for name in entry.summary} == pytest.approx(
        dict(entry.summary)
    )
    assert metrics["final/bpb"] == metrics["val/bpb"]
    assert metrics["final/steps"] == 12


def test_what_was_spent_up_to_each_point_ends_at_the_final_numbers(run: Run) -> None:
    """They are the x axes of curves, so the last point of a curve lies where the run ended."""
    curve = pd.read_csv(artifacts(run) / "curve.csv")
    for what in ("bytes", "tokens", "flops", "seconds"):
        spent = curve[f"train/{what}"]
        assert spent.iloc[0] > 0
        assert spent.is_monotonic_increasing
        assert spent.iloc[-1] == pytest.approx(run.data.metrics[f"final/{what}"])
    n_flops = curve["train/flops"] / curve["step"]
    assert list(n_flops) == pytest.approx([float(run.data.tags["flops_per_step"])] * len(curve))


def test_the_names_of_the_final_numbers_are_short_and_unlike(finished: Finished) -> None:
    names = [final_name(name) for entry in finished.place.entries()[:1] for name in entry.summary]
    assert len(set(names)) == len(names)
    assert {"final/bpb", "final/loss", "final/tokens_s", "final/seconds", "final/params"} <= {
        *names
    }


def test_the_files_of_a_run(run: Run) -> None:
    folder = artifacts(run)
    assert {path.name for path in folder.iterdir()} >= FILES
    assert (folder / "sample.txt").read_text("utf-8")
    environment = json.loads((folder / "environment.json").read_text("utf-8"))
    assert {"python", "libraries", "code", "cpu_cores"} <= set(environment)


def test_the_weights_load_and_evaluate_as_recorded(finished: Finished, run: Run) -> None:
    """The weights of the last evaluation, whose numbers are the run's."""
    folder = artifacts(run)
    config = load_config_in(folder)
    setup = set_up(config, cache=finished.place.folder / "cache")
    load_model(setup.model, folder / "model.safetensors")
    torch.set_num_threads(int(run.data.tags["threads"]))
    text = setup.text.encoded
    found = evaluate(
        setup.model,
        text.val,
        previous_token=int(text.train[-1]),
        n_bytes=text.val_bytes,
        device=setup.device,
    )
    assert found.bits_per_byte == run.data.metrics["final/bpb"]
    assert load_tokenizer(folder / "tokenizer").digest == run.data.tags["tokenizer_digest"]


def load_config_in(folder: Path) -> RunConfig:
    return RunConfig.from_json((folder / "config.json").read_text("utf-8"))


def test_the_saved_views_show_this_ledger_s_runs_best_first(finished: Finished) -> None:
    experiment = finished.place.client.get_experiment_by_name("tiny")
    assert experiment is not None
    *_, launch = finished.place.records("launch")
    ledger = launch.data.tags["gpt_bench.ledger"]
    views = {
        tag: view(value)
        for tag, value in experiment.tags.items()
        if tag.startswith("mlflow.sharedViewState.")
    }
    assert len(views) == 2
    for tag, state in views.items():
        key = tag.removeprefix("mlflow.sharedViewState.")
        assert f"viewStateShareKey={key}" in finished.result.stdout
        assert state["orderByKey"] == "metrics.`final/bpb`"
        assert state["orderByAsc"] is True
        found = finished.place.client.search_runs(
            [experiment.experiment_id], state["searchFilter"], order_by=[state["orderByKey"]]
        )
        assert {run.data.tags["gpt_bench.ledger"] for run in found} == {ledger}
        assert len(found) == 4
        assert state["selectedColumns"][:4] == COLUMNS
        assert [c for c in state["columnOrder"] if c in COLUMNS] == COLUMNS
        for column in COLUMNS:  # a column of nothing says nothing
            kind, _, name = column.partition(".")
            assert all(getattr(run.data, kind).get(name.strip("`")) for run in found)
    assert "workflowType=machine_learning" in finished.result.stdout


def test_the_curves_view_has_charts_of_what_is_recorded(finished: Finished) -> None:
    experiment = finished.place.client.get_experiment_by_name("tiny")
    assert experiment is not None
    [state] = [view(value) for tag, value in experiment.tags.items() if tag.endswith("-curves")]
    runs = finished.place.records()
    lines = [chart for chart in state["compareRunCharts"] if chart["type"] == "LINE"]
    named = [{c["metricKey"], c["selectedXAxisMetricKey"]} for c in lines]
    assert named == [{"val_part/bpb", "mean/bytes"}, {"val_part/bpb", "mean/seconds"}]
    [bar] = [c["metricKey"] for c in state["compareRunCharts"] if c["type"] == "BAR"]
    [plane] = [c for c in state["compareRunCharts"] if c["type"] == "SCATTER"]
    metrics = {*named[0], *named[1], bar, plane["xaxis"]["key"], plane["yaxis"]["key"]}
    assert all(metrics <= set(run.data.metrics) for run in runs)
    sections = [section["uuid"] for section in state["compareRunSections"]]
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} == {sections[0]}

    client = finished.place.client
    values = [
        point.value
        for run in runs
        for point in client.get_metric_history(run.info.run_id, "val_part/bpb")
    ]
    ends = lines[0]["range"]
    assert 0 < ends["yMin"] < min(values) < max(values) < ends["yMax"]
    assert state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": TAG_CURVE}]


def test_the_curves_of_a_cell_have_one_x_axis_which_is_the_mean_of_its_seeds(
    finished: Finished,
) -> None:
    def latest(run: Run, name: str) -> dict[int, float]:
        history = finished.place.client.get_metric_history(run.info.run_id, name)
        return {m.step: m.value for m in sorted(history, key=lambda m: m.timestamp)}

    cells: dict[str, list[Run]] = {}
    for run in finished.place.records():
        cells.setdefault(run.data.tags[TAG_CELL_KEY], []).append(run)
    for spent, mean in AXES.items():
        for runs in cells.values():
            [one, other] = [latest(run, mean) for run in runs]
            assert one == other
            assert list(one) == [3, 6, 9, 12]
            own = [latest(run, spent) for run in runs]
            assert one == pytest.approx({s: sum(o[s] for o in own) / 2 for s in one})


def test_each_run_says_its_result_and_its_cost_in_words(finished: Finished) -> None:
    entries = finished.place.entries()
    for run in finished.place.records():
        entry = next(e for e in entries if e.config.key == run.data.tags["run_key"])
        values = [e.summary["val_bits_per_byte"] for e in entries if e.cell == entry.cell]
        numbers, _, verdict = run.data.tags["result"].partition(" · ")
        assert numbers == f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"
        assert run.data.tags["verdict"] in verdict  # the best one's: "leads, undetermined"
        seconds, speed, size = run.data.tags["cost"].split(" · ")
        assert seconds == f"{entry.summary['train_seconds']:,.1f} s"
        assert speed == f"{entry.summary['tokens_per_second']:,.0f} tokens/s"
        assert size.endswith(" k params")
    *_, launch = finished.place.records("launch")
    assert launch.data.tags["result"] in " ".join(finished.result.stdout.split())
    assert launch.data.tags["result"]
    assert (
        launch.data.tags["mlflow.note.content"]
        .partition("\n\n```\n")[0]
        .endswith(
            launch.data.tags["result"]  # after the link to the report, if there is one
        )
    )
    assert launch.info.run_name == "tiny"


def test_no_two_cells_share_a_colour(finished: Finished) -> None:
    looks = {
        run.data.tags["cell"]: (run.data.tags[TAG_COLOUR], colour_of(run.data.tags[TAG_CURVE]))
        for run in finished.place.records()
    }
    assert all(alone == drawn for alone, drawn in looks.values())
    assert len(set(looks.values())) == len(looks) == 2
    many = colours(f"cell {i}" for i in range(len(PALETTE)))
    assert {colour_of(look.curve) for look in many.values()} == set(PALETTE)
    assert all(look.curve.rstrip(" \u200b") == name for name, look in many.items())


def view(tag: str) -> dict[str, Any]:
    packed = json.loads(tag)["state"].removeprefix("deflate;")
    state: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return state


def test_a_secret_in_the_environment_is_written_nowhere(finished: Finished, secret: str) -> None:
    files = [path for path in finished.place.folder.rglob("*") if path.is_file()]
    assert any(path.name == "mlflow.db" for path in files)
    assert any(path.suffix == ".journal" for path in files)
    assert [path for path in files if secret.encode() in path.read_bytes()] == []
    assert secret not in finished.result.output


def test_a_recorded_run_repeats_to_the_bit(
    finished: Finished, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = finished.place
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("GPT_BENCH_CACHE", str(place.folder / "cache"))
    result = place.run("--from-run", run.info.run_id, "--workers", 2)

    assert result.exit_code == 0, result.output
    [again] = place.records(study=f"run-{load_config(run.info.run_id).key}")
    assert again.data.tags["threads"] == run.data.tags["threads"]
    for name in ("val_loss", "train_loss", "val_bits_per_byte"):
        assert again.data.metrics[final_name(name)] == run.data.metrics[final_name(name)]
    assert load_config_in(artifacts(again)) == load_config_in(artifacts(run))
