"""Calls the coordinator as any program could, without any code of the product: messages are the classes that protoc makes
of proto/gptvq/v1, and methods those that the services declare."""

import functools
import importlib
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # programs are started while channels are open
import grpc  # noqa: E402  pylint: disable=wrong-import-position
from google.protobuf import text_format  # noqa: E402  pylint: disable=wrong-import-position

from case import Seen  # noqa: E402  pylint: disable=wrong-import-position

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0),
           ("grpc.max_send_message_length", -1)]


@functools.cache
def modules():
    """The generated modules by the name of their file."""
    made = tempfile.TemporaryDirectory(prefix="gptvq-matrix-proto-")
    names = sorted(path.stem for path in (PROTO / "gptvq/v1").glob("*.proto"))
    subprocess.run(["protoc", f"--proto_path={PROTO}", f"--python_out={made.name}",
                    *(f"gptvq/v1/{name}.proto" for name in names)], check=True)
    sys.path.insert(0, made.name)
    try:
        return {name: importlib.import_module(f"gptvq.v1.{name}_pb2") for name in names}
    finally:
        sys.path.remove(made.name)
        made.cleanup()


def message(name, **fields):
    """A message by the name of its type."""
    for module in modules().values():
        if hasattr(module, name):
            return getattr(module, name)(**fields)
    raise KeyError(name)


def enum_name(holder, field):
    """The name of the value of a field."""
    return holder.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number[getattr(holder, field)].name


@functools.cache
def method(name):
    """(path, is the request a stream, is the answer, type of the answer) of a method of either service."""
    for module in modules().values():
        for service in module.DESCRIPTOR.services_by_name.values():
            for found in service.methods:
                if found.name == name:
                    streams = {"PublishLayer": (True, False), "WatchJob": (False, True)}.get(name, (False, False))
                    return f"/{service.full_name}/{name}", *streams, type(message(found.output_type.name))
    raise KeyError(name)


def refusal(error):
    """What a failed call says, with the reason of its ErrorInfo if it carries one, and RetryInfo."""
    reason = retry = ""
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        status = message("RpcStatus")
        status.ParseFromString(value)
        for detail in status.details:
            if detail.type_url.endswith("ErrorInfo"):
                info = message("ErrorInfo")
                info.ParseFromString(detail.value)
                reason = f" ({info.reason})"
            elif detail.type_url.endswith("RetryInfo"):
                retry = " [RetryInfo]"
    return Seen(error.code().name + reason, (error.details() or "") + retry)


class Caller:
    """A channel of its own to a coordinator."""

    def __init__(self, address, credentials=None, options=()):
        options = [*OPTIONS, *options]
        self.channel = (grpc.insecure_channel(address, options) if credentials is None
                        else grpc.secure_channel(address, credentials, options))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.channel.close()

    def ask(self, name, request, metadata=None, seconds=30, wait_for_ready=False):
        """(what was seen, the answer or None). `request` is a message, a list of them for a stream, or bytes."""
        path, is_stream, answers_stream, answer_type = method(name)
        kind = {(False, False): self.channel.unary_unary, (True, False): self.channel.stream_unary,
                (False, True): self.channel.unary_stream}[is_stream, answers_stream]
        call = kind(path, request_serializer=lambda one: one if isinstance(one, bytes) else one.SerializeToString(),
                    response_deserializer=answer_type.FromString)
        try:
            answer = call(iter(request) if is_stream else request, timeout=seconds, metadata=metadata,
                          wait_for_ready=wait_for_ready)
            if answers_stream:
                answer = next(answer)
        except grpc.RpcError as error:
            return refusal(error), None
        return Seen("OK", text_format.MessageToString(answer, as_one_line=True)), answer

    def see(self, name, request, **options):
        return self.ask(name, request, **options)[0]

    def send(self, path, data, seconds=30):
        """A call of any path with any bytes."""
        call = self.channel.unary_unary(path, request_serializer=bytes, response_deserializer=bytes)
        try:
            return Seen("OK", repr(call(data, timeout=seconds)))
        except grpc.RpcError as error:
            return refusal(error)
