"""10,000 clients that send the head of a request byte by byte, beside clients that behave: what the latter notice, and what
the proxy's memory does. Arguments: port of the proxy, its process id. Called by slow.sh; needs nothing but Python."""
import http.client
import resource
import socket
import sys
import threading
import time

PORT, PID = int(sys.argv[1]), int(sys.argv[2])
SLOW, GOOD, REQUESTS = 10_000, 8, 1_500


def rss():
    with open(f"/proc/{PID}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def latencies():
    seen, lock = [], threading.Lock()

    def one():
        mine = []
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
        for _ in range(REQUESTS):
            begin = time.perf_counter()
            connection.request("GET", "/v1/info")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            mine.append(time.perf_counter() - begin)
        with lock:
            seen.extend(mine)

    threads = [threading.Thread(target=one) for _ in range(GOOD)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen.sort()
    return seen[len(seen) // 2] * 1000, seen[len(seen) * 99 // 100] * 1000


class Slow(threading.Thread):
    """Opens the connections, and sends on each a byte of a head that never ends, round after round."""

    def __init__(self):
        super().__init__(daemon=True)
        self.open, self.refused, self.ended, self.rounds = [], 0, False, 0
        self.ready = threading.Event()

    def connect(self):
        try:
            one = socket.create_connection(("127.0.0.1", PORT), timeout=10)
            one.sendall(b"GET /v1/info HTTP/1.1\r\nHost: a\r\nX-Slow: ")
            one.setblocking(False)
            self.open.append(one)
        except OSError:
            self.refused += 1

    def run(self):
        for _ in range(SLOW):
            self.connect()
        self.ready.set()
        while not self.ended:
            again = []
            for one in self.open:
                try:
                    one.send(b"a")
                    again.append(one)
                except OSError:  # the proxy let it go: another one comes in its place
                    one.close()
            missing, self.open = len(self.open) - len(again), again
            for _ in range(missing):
                self.connect()
            self.rounds += 1
            time.sleep(0.5)


resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
latencies()
before, before_rss = latencies(), rss()
slow = Slow()
slow.start()
assert slow.ready.wait(120)
during, during_rss = latencies(), rss()
slow.ended = True
print(f"slow connections: {len(slow.open)} open, {slow.refused} could not be opened, {slow.rounds} rounds of bytes")
print("| | alone | beside them | aim |\n| --- | --- | --- | --- |")
print(f"| p50 | {before[0]:.2f} ms | {during[0]:.2f} ms | |")
print(f"| p99 | {before[1]:.2f} ms | {during[1]:.2f} ms ({during[1] / before[1]:.2f} times) | 2 times |")
print(f"| resident | {before_rss:.1f} MiB | {during_rss:.1f} MiB | 256 MiB |")
