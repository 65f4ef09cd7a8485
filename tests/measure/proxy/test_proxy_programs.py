"""The load generator and the echo server, on loopback and without root."""

import json
import os
import socket
import subprocess

import pytest

from meshsim.measure.doctor import capability
from meshsim.measure.native import tool

if not capability("compiler").ok:
    pytest.skip(capability("compiler").remedy, allow_module_level=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def echo():
    running = []

    def start(*options):
        port = free_port()
        words = [str(tool("echo")), "--address", "127.0.0.1", "--port", str(port), *options]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout.readline() == "ready\n"
        return port, process.pid

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


def load(port, *options):
    words = [str(tool("load")), "--port", str(port), "--warm-up", "0.05", "--seconds", "0.25", *map(str, options)]
    return json.loads(subprocess.run(words, capture_output=True, text=True, timeout=20, check=True).stdout)


def failures(told):
    return sum(told["errors"].values()) + told["unanswered"] + told["dropped"]


@pytest.mark.parametrize("protocol", ["http1", "http2", "raw"])
@pytest.mark.parametrize(("body", "ask"), [(0, 64), (64, 65536), (65536, 64)])
def test_each_protocol_carries_each_size(echo, protocol, body, ask):
    port, _ = echo()
    told = load(port, "--protocol", protocol, "--connections", 4, "--body", body, "--ask", ask)
    assert told["answered"] > 0
    assert failures(told) == 0
    head = {"http1": 200, "http2": 100, "raw": 0}[protocol]
    assert ask <= told["bytes_in"] / told["answered"] * 1.1
    assert told["bytes_in"] / (told["answered"] + 8) <= ask + head + ask / 1000


@pytest.mark.parametrize("protocol", ["http1", "http2", "raw"])
def test_a_connection_for_each_request(echo, protocol):
    port, _ = echo()
    told = load(port, "--protocol", protocol, "--rate", 400, "--connections", 4, "--new-connection", "--ask", 64)
    assert failures(told) == 0
    assert abs(told["opened"] - told["answered"]) <= 4


def test_many_streams_share_a_connection(echo):
    port, _ = echo()
    told = load(port, "--protocol", "http2", "--streams", 20, "--connections", 1, "--ask", 10000)
    assert failures(told) == 0
    assert told["answered"] > 20


def test_an_open_loop_omits_nothing_when_the_server_is_slow_a_closed_loop_does(echo):
    port, _ = echo("--compute-us", "5000")
    slow = load(port, "--rate", 400, "--connections", 1, "--seconds", 0.5)  # twice what it can do
    assert slow["latency_ns"]["0.99"] > 100e6
    assert slow["lag_ns"]["0.99"] > 90e6
    closed = load(port, "--connections", 1, "--seconds", 0.5)
    assert 5e6 < closed["latency_ns"]["0.5"] < 60e6
    assert closed["latency_ns"]["0.5"] < slow["latency_ns"]["0.99"] / 2


def test_histogram_and_quantiles_are_of_the_same_requests(echo):
    port, _ = echo()
    told = load(port, "--rate", 1000, "--connections", 2)
    assert sum(count for _, count in told["histogram"]) == told["observed"]
    edges = [edge for edge, _ in told["histogram"]]
    assert edges == sorted(edges)
    assert edges[0] <= told["latency_ns"]["0"] * 1.01
    assert edges[-1] <= told["latency_ns"]["1"]


def test_what_a_thread_did_belongs_to_the_measured_seconds(echo):
    port, pid = echo("--compute-us", "200")
    told = load(port, "--rate", 500, "--connections", 2, "--seconds", 0.5, "--thread", f"it=/proc/{pid}/task/{pid}")
    thread = told["threads"]["it"]
    assert thread["ran"] / told["answered"] == pytest.approx(230e3, rel=0.5)
    assert 0 < thread["slept"] <= 1.5 * told["answered"] + 5


def test_a_server_that_is_not_there_is_said_at_once(echo):
    words = [str(tool("load")), "--port", str(free_port()), "--connections", "2", "--seconds", "0.1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "0 of 2 connections opened" in done.stderr


@pytest.mark.parametrize("options", [["--rat", "5"], ["--connections", "0"], ["--streams", "500"], ["--seconds"]])
def test_options_that_make_no_sense(options):
    done = subprocess.run([str(tool("load")), *options], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("load: ")


def test_the_server_reads_bodies_in_chunks(echo):
    port, _ = echo()
    head = b"POST / HTTP/1.1\r\nhost: a\r\nx-bytes: 3\r\ntransfer-encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(5)
        for _ in range(2):
            for piece in (head, b"5\r\nhel", b"lo\r\n1", b"0\r\n" + b"y" * 16 + b"\r\n0\r\n", b"\r\n"):
                client.sendall(piece)
            answer = b""
            while not answer.endswith(b"\r\n\r\nxxx"):
                answer += client.recv(1000)
            assert answer.count(b"HTTP/1.1 200") == 1


def test_garbage_closes_the_connection_and_hurts_nobody_else(echo):
    port, _ = echo()
    for garbage in (
        b"RAW1\x00\x00\x00\x01\x00\x00\x00\x00",
        os.urandom(20000),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64,
    ):
        with socket.create_connection(("127.0.0.1", port)) as bad:
            bad.sendall(garbage)
    assert failures(load(port, "--connections", 2)) == 0
