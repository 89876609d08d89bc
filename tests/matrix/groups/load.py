"""D94-D96: too much at a time. These measure, so they run alone."""

import concurrent.futures
import socket
import time

from calls import Caller, message
from case import Case, Seen, check

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")  # and empty settings
SUBMITS, CLIENTS = 400, 4


def share_99(seconds):
    return sorted(seconds)[int(len(seconds) * 0.99) - 1]


def timed_lists(address, count):
    """The seconds of calls of somebody who only looks."""
    seconds = []
    with Caller(address) as caller:
        for _ in range(count):
            begin = time.monotonic()
            check(caller.see("ListJobs", message("ListJobsRequest", page_size=1)).code == "OK", "ListJobs")
            seconds.append(time.monotonic() - begin)
    return seconds


def flood_of_submits(lab):
    """As many submits as four clients can send. Only so many jobs may be active; whoever looks goes on to be answered."""
    with lab.serve() as own:

        def submit(_):
            with Caller(own.address) as caller:
                return [caller.see("SubmitJob", message("SubmitJobRequest", request_id=lab.request_id(), spec=lab.spec()))
                        for _ in range(SUBMITS // CLIENTS)]

        quiet = share_99(timed_lists(own.address, 200))
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(CLIENTS + 1) as pool:
            looking = pool.submit(timed_lists, own.address, 200)
            answers = [seen for seen_by_one in pool.map(submit, range(CLIENTS)) for seen in seen_by_one]
            busy = share_99(looking.result())
        seconds = time.monotonic() - begin
        accepted = [seen for seen in answers if seen.code == "OK"]
        refused = [seen for seen in answers if seen.code != "OK"]
        check(len(accepted) == 256, f"{len(accepted)} were accepted")
        # Two processors are shared with the flood itself: an absolute bound, far below any deadline.
        check(busy < 1, f"the 99th of 100 calls took {busy:.3f} s")
    lab.measured.append(
        f"D94: {len(answers) / seconds:.0f} submits/s; 99th of 100 other calls {quiet * 1e3:.1f} ms, under the flood "
        f"{busy * 1e3:.1f} ms")
    return refused


def slow_watchers(lab):
    """200 watchers of which none reads. Those beyond 32 are refused; what they cost goes away with them."""
    with lab.serve() as own, Caller(own.address) as caller:
        _, answer = caller.ask("SubmitJob", message("SubmitJobRequest", request_id=lab.request_id(), spec=lab.spec()))
        before = own.footprint()
        request = message("WatchJobRequest", job_id=answer.job.job_id)
        callers = [Caller(own.address) for _ in range(20)]
        path = "/gptvq.v1.JobService/WatchJob"
        calls = [one.channel.unary_stream(path, request_serializer=lambda one: one.SerializeToString())(request)
                 for one in callers for _ in range(10)]
        lab.until(lambda: sum(call.done() for call in calls) == 200 - 32, "all but 32 to be refused")
        during = own.footprint()
        check(caller.see("GetCapabilities", message("GetCapabilitiesRequest")).code == "OK", "it answers others")
        seen = caller.see("WatchJob", request)
        for call in calls:
            call.cancel()
        for one in callers:
            one.channel.close()
        lab.until(lambda: own.footprint()[1] <= before[1] + 2, "the connections to be closed")
        grown = (during[0] - before[0]) >> 20
        check(grown < 64, f"memory grew by {grown} MiB")
        check(during[1] - before[1] <= 25, f"{during[1] - before[1]} descriptors for 20 connections")
    lab.measured.append(f"D95: memory grew by {grown} MiB, descriptors by {during[1] - before[1]}")
    return seen


def reconnections(lab):
    """1000 connections, one after the other as fast as they go, that say HTTP/2's preface and leave."""
    with lab.serve() as own:
        host, port = own.address.rsplit(":", 1)
        before = own.footprint()
        begin = time.monotonic()
        for _ in range(1000):
            with socket.create_connection((host, int(port)), timeout=30) as connection:
                connection.sendall(PREFACE)
                check(connection.recv(9) != b"", "it was closed")
        seconds = time.monotonic() - begin
        lab.until(lambda: own.footprint()[1] <= before[1] + 2, "the descriptors to be given back")
        after = own.footprint()
        grown = (after[0] - before[0]) >> 20
        check(grown < 32, f"memory grew by {grown} MiB")
        with Caller(own.address) as caller:
            seen = caller.see("GetCapabilities", message("GetCapabilitiesRequest"))
    lab.measured.append(f"D96: {1000 / seconds:.0f} connections/s, memory grew by {grown} MiB")
    return Seen(seen.code, "memory and descriptors are as before")


CASES = [
    Case("D94", f"{SUBMITS} submits as fast as {CLIENTS} clients can", flood_of_submits,
         "RESOURCE_EXHAUSTED (TOO_MANY_JOBS)", "256 jobs are active", alone=True,
         note="the limit is one for all clients; others are answered in less than 1 s"),
    Case("D95", "200 watchers that do not read", slow_watchers, "RESOURCE_EXHAUSTED (TOO_MANY_WATCHERS)", "[RetryInfo]",
         alone=True),
    Case("D96", "1000 connections in a row", reconnections, "OK", alone=True, note="the cap is one for all identities"),
]
