"""D01-D12: the command line."""

import os
import shutil
import signal
import subprocess

from calls import message
from case import Case, Seen, check
from damage import MODEL_LAYER, config, f32, safetensors, tensors
from files import accepted, damaged
from laboratory import BIN, FAST, SECONDS

COORDINATOR, WORKER = "coordinator", "worker"
JOB = ["--model", "m", "--calibration", "c", "--output", "o"]


def flag(row, put, words, text, program="client", note=""):
    """Words that are refused before anything is done."""
    return Case(row, put, lambda lab: getattr(lab, program)(*words), "exit 2", text, note)


def bits(value):
    return flag("D02", f"--index-bits {value!r}", ["quantize", *JOB, f"--index-bits={value}"],
                ("--index-bits", "from 1 to 8" if value else "needs a value"))


def unreadable(lab):
    """As a user who may not read it: for root every file is readable."""
    root = lab.case()
    (root / "model/config.json").chmod(0)
    root.chmod(0o755)
    words = ["eval", root / "model", "--text", root / "calibration.jsonl"]
    if os.geteuid() != 0:
        return lab.client(*words)
    lab.root.chmod(0o755)
    return lab.client(*words, prefix=("setpriv", "--reuid=65534", "--clear-groups", "--no-new-privs"))


def special_model(make):
    def damage(root):
        shutil.rmtree(root / "model")
        make(root / "model")
    return damage


def output_of_another_job(lab):
    root = lab.case()
    (root / "result").rename(root / "out")
    before = lab.files(root)
    seen = [lab.client_on(command, root) for command in ("submit", "quantize")]
    check(lab.files(root) == before, "the other job's result was touched")
    return seen


def not_utf8(command):
    """Local commands take any bytes; what is told to a coordinator has to be text."""

    def run(lab):
        root = lab.case()
        for folder in ("result", "model"):
            os.rename(root / folder, os.fsencode(root / folder) + b"\xff")
        path = os.fsencode(root / "result") + b"\xff"
        if command != "submit":
            return lab.run(BIN / "gptvq-client", command, path)[0]
        model = os.fsencode(root / "model") + b"\xff"
        return lab.client("submit", "--model", model, "--calibration", root / "calibration.jsonl", "--output",
                          root / "out", "--state-dir", root / "state", "--coordinator", lab.served.address)

    return run


def closed_pager(lab):
    """`gptvq-client presets | true`: it may be ended by SIGPIPE, as every tool is, and says nothing."""
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run([BIN / "gptvq-client", "presets"], stdout=writer, stderr=subprocess.PIPE, check=False,
                            timeout=SECONDS)
    os.close(writer)
    check(result.returncode in (-signal.SIGPIPE, 7), f"exit {result.returncode}")
    return Seen("quiet" if not result.stderr or result.returncode == 7 else "talks", result.stderr.decode())


def full_output(*words, server=False):
    """Standard output is a full disk."""

    def run(lab):
        told = ["--coordinator", lab.served.address] if server else []
        with open("/dev/full", "wb") as full:
            result = subprocess.run([str(BIN / "gptvq-client"), *words, *told], stdout=full, stderr=subprocess.PIPE,
                                    check=False, timeout=SECONDS)
        return Seen(f"exit {result.returncode}", result.stderr.decode())

    return run


def submitted(lab, **changes):
    """A job in the shared coordinator that nobody works on."""
    with lab.caller() as caller:
        spec = lab.spec(output_uri=f"file://{lab.folder()}/out", **changes)
        seen, answer = caller.ask("SubmitJob", message("SubmitJobRequest", request_id=lab.request_id(), spec=spec))
    check(seen.code == "OK", str(seen))
    return answer.job.job_id


def cancel(lab, job_id):
    with lab.caller() as caller:
        caller.see("CancelJob", message("CancelJobRequest", job_id=job_id))


def interrupted(command):
    def run(lab):
        job_id = submitted(lab)
        process = subprocess.Popen([BIN / "gptvq-client", command, job_id, "--coordinator", lab.served.address],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        lab.until(lambda: lab.is_connected(process), f"{command} to be connected")
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=SECONDS)[1].decode()
        cancel(lab, job_id)
        return Seen(f"exit {process.returncode}", said.strip())

    return run


def unwritable_state(lab):
    """Nothing may reach the coordinator before the request id is kept."""
    root = lab.case()
    with lab.serve() as own:
        seen = lab.client("submit", *lab.job_flags(root), *FAST, "--output", root / "out", "--state-dir",
                          "/dev/null/state", "--coordinator", own.address)
        check(own.client("list", "-o", "name") == "", "a job was submitted")
    return seen


def odd_columns(root):
    """Seven columns and vectors of two."""
    (root / "linear.safetensors").write_bytes(safetensors({
        "w": ("F32", [16, 7], f32(*range(112))),
        "h": ("F32", [7, 7], b"".join(f32(*(float(r == c) for c in range(7))) for r in range(7)))}))


def odd_model(root):
    """An MLP 30 wide."""
    config(intermediate_size=30)(root)

    def narrow(kept):
        for name, shape in (("gate", [30, 32]), ("up", [30, 32]), ("down", [32, 30])):
            kept[f"{MODEL_LAYER}mlp.{name}_proj.weight"] = ("F32", shape, f32(*range(960)))

    tensors(narrow)(root)


EVERY = ("quantize", "eval", "calibration", "verify", "inspect", "eval result", "linear")
CASES = [
    accepted("D04", "what has to work: sound files", lambda root: None, EVERY),
    accepted("D04", "what has to work: sound files for a coordinator", lambda root: None, ("submit", )),
    flag("D01", "no arguments", [], "a command is missing"),
    flag("D01", "an unknown command, nearly right", ["sbmit"],
         ("unknown command 'sbmit'", "did you mean submit?", "--help")),
    flag("D01", "an unknown flag, nearly right", ["list", "--limt", "3"],
         ("unknown flag '--limt'", "did you mean --limit?")),
    flag("D01", "an unknown flag of the coordinator", ["--data-dri", "x"], ("'--data-dri'", "did you mean --data-dir?"),
         COORDINATOR),
    flag("D01", "an unknown flag of the worker", ["--nam", "x"], ("unknown flag '--nam'", "did you mean --name?"),
         WORKER),
    *(bits(value) for value in ("0", "-3", "17", "2.5", "1e400", "NaN", "")),
    damaged("D03",
            "a width that vectors do not divide",
            odd_columns, ("7 columns", "no multiple of vector_dim 2"),
            commands=("linear",),
            note="a last group may be shorter, so --group-weights need not divide anything"),
    damaged("D03", "a model of such a width, and vectors of four", odd_model, ("mlp.down_proj has 30 columns",
            "no multiple of vector_dim 4"), commands=("quantize 4d", "submit 4d"), note="refused at submit"),
    flag("D03", "stripes that are no power of two", ["quantize", *JOB, "--columns-per-group", "48"],
         "columns_per_group is 48; allowed: a power of two"),
    damaged("D04", "no model", lambda root: shutil.rmtree(root / "model"), "No such file", code=3),
    damaged("D04",
            "no config.json",
            lambda root: (root / "model/config.json").unlink(),
            "config.json: No such file",
            code=3,
            note="docs/cli.md: 3 is no such model"),
    Case("D04",
         "a file that may not be read",
         unreadable,
         "exit 6", ("config.json", "Permission denied"),
         note="docs/cli.md: 6 is a file that can not be used"),
    damaged("D04", "a pipe for a model", special_model(os.mkfifo), "Not a directory", code=3, note="docs/cli.md: 3"),
    damaged("D04",
            "/dev/zero for a model",
            special_model(lambda path: path.symlink_to("/dev/zero")),
            "Not a directory",
            code=3,
            note="docs/cli.md: 3"),
    damaged("D04",
            "a pipe for the weights",
            lambda root: [(root / "model/model.safetensors").unlink(),
                          os.mkfifo(root / "model/model.safetensors")],
            "neither model.safetensors nor",
            code=3,
            note="docs/cli.md: 3; only files are files of a model"),
    damaged("D04",
            "/dev/zero for the weights",
            lambda root: [(root / "model/model.safetensors").unlink(),
                          (root / "model/model.safetensors").symlink_to("/dev/zero")],
            "neither model.safetensors nor",
            code=3,
            note="docs/cli.md: 3; only files are files of a model"),
    damaged("D04",
            "a file in the place of the output",
            lambda root: (root / "out").write_bytes(b""),
            "out: is a file, where a directory is needed",
            commands=("quantize", "submit")),
    damaged("D04",
            "a pipe in the place of the output",
            lambda root: os.mkfifo(root / "packed.safetensors"),
            "packed.safetensors: is a pipe, not a file",
            commands=("linear",)),
    damaged("D04",
            "no text",
            lambda root: (root / "calibration.jsonl").rename(root / "other.jsonl"),
            "calibration.txt: No such file",
            code=3,
            commands=("calibration", "quantize", "submit", "eval")),
    Case("D05", "the result of another job in the place of the output", output_of_another_job, "exit 6",
         ("output_uri", "gptvq_manifest.json")),
    flag("D06", "a line break and a colour in a flag", ["list", "--limit=\x1b[31m\n3"],
         "argument '--limit=\\x1b[31m\\n3' holds a control character"),
    flag("D06",
         "the longest argument that the system passes on, 128 KiB", ["get", "a" * ((1 << 17) - 1)],
         "is longer than 4096 bytes",
         note="the system itself refuses 1 MiB"),
    Case("D07", "bytes that are not UTF-8 in the path of a local command", not_utf8("verify"), "exit 0"),
    Case("D07",
         "bytes that are not UTF-8 in a path for the coordinator",
         not_utf8("submit"),
         "exit 2", ("--model", "only printable ASCII"),
         note="docs/cli.md: 2"),
    flag("D08", "a flag twice", ["list", "--limit", "3", "--limit", "4"], "--limit was given 2 times"),
    flag("D08", "flags that contradict each other", ["submit", *JOB, "--wait", "--dry-run"], ("--wait", "--dry-run")),
    flag("D08", "two ways to wait", ["submit", *JOB, "--wait", "--watch"], ("--wait", "--watch")),
    flag("D08", "a source that is its own output", ["quantize", "--model", "m", "--calibration", "c", "--output", "m"],
         "equals model_uri"),
    Case("D09", "a pager that has ended", closed_pager, "quiet"),
    Case("D09", "a full disk behind `presets -o json`", full_output("presets", "-o", "json"), "exit 7",
         "standard output"),
    Case("D09", "a full disk behind `list -o json`", full_output("list", "-o", "json", server=True), "exit 7",
         "standard output"),
    Case("D10", "Ctrl-C during `wait`", interrupted("wait"), "exit 130", ("the job goes on", "gptvq-client cancel")),
    Case("D10", "Ctrl-C during `watch`", interrupted("watch"), "exit 130", ("the job goes on", "gptvq-client cancel")),
    Case("D11", "a state directory that can not be written", unwritable_state, "exit 6", ("request id", "--state-dir")),
]
