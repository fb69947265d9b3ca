"""The least that many small files cost in Python: two processes, a socket each, bytes, SHA-256, a name and no more.

    python -S benchmarks/bare_download.py LIST DIR

No HTTP client, no event loop, no lock, no receipt, no sync, no second attempt: whatever is not as expected ends it. For
`benchmarks/downloads.py`, which shows what is left of that beside tools that do more. LIST is aria2's.
"""

import hashlib
import os
import socket
import sys

HEAD_END = b"\r\n\r\n"


def work(jobs: list[list[str]], folder: str) -> None:
    """Fetch files one after the other: URL, name and SHA-256 of each."""
    host = jobs[0][0].split("/")[2]
    name, port = host.split(":")
    room = bytearray(1 << 20)
    buffer = memoryview(room)
    with socket.create_connection((name, int(port))) as connection:
        for url, file, checksum in jobs:
            path = url.split("/", 3)[3]
            connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            got = 0
            while (begin := room.find(HEAD_END, 0, got) + len(HEAD_END)) < len(HEAD_END):
                got += connection.recv_into(buffer[got:])
            head = bytes(buffer[:begin]).lower()
            end = begin + int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            while got < end:
                got += connection.recv_into(buffer[got:])
            body = buffer[begin:end]
            if hashlib.sha256(body).hexdigest() != checksum:
                sys.exit(f"{url}: wrong bytes")
            fd = os.open(f"{folder}/.{file}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.write(fd, body)
            os.close(fd)
            os.rename(f"{folder}/.{file}", f"{folder}/{file}")  # noqa: PTH104  # a path costs more than the call


def main() -> None:
    """Do one half in a fork, the other here."""
    with open(sys.argv[1]) as lines:  # noqa: PTH123  # as above: pathlib is not even imported
        words = [line.strip().removeprefix("out=").removeprefix("checksum=sha-256=") for line in lines]
    jobs = [words[at : at + 3] for at in range(0, len(words), 3)]
    child = os.fork()
    work(jobs[child > 0 :: 2], sys.argv[2])
    if child == 0:
        os._exit(0)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    main()
