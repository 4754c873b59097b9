"""The states of a fleet as JSON over HTTP: FastAPI, which reads them where the workers left them.

    pip install fastapi uvicorn psutil
    python api.py --port 8000              then: curl http://127.0.0.1:8000/workers

The workers are not asked: an answer takes as long if they are busy, stopped or dead. The server is
woken by changes, for the stream of `/workers/changes`.
"""

import argparse
import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import tearless
import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse


def described(hub: tearless.Hub, name: str, state: object) -> dict[str, Any]:
    """A state as JSON, or why there is none."""
    if not isinstance(state, tearless.Snapshot):
        return {"name": name, "error": str(state)}
    return {"name": name, "health": hub.status(name).health, "publication": state.publication, "age": state.age,
            "state": state.value}


def host() -> dict[str, Any]:
    """What the worker publishes: figures of this host."""
    return {"cpu_percent": psutil.cpu_percent(percpu=True), "available": psutil.virtual_memory().available,
            "processes": len(psutil.pids())}


def make_app(namespace: str) -> FastAPI:
    """The application. While it runs, a worker in it publishes figures of this host."""
    fleet = tearless.Namespace(namespace)
    hub = fleet.hub()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        async with fleet.publisher("host", host, interval=0.2):
            yield

    app = FastAPI(lifespan=lifespan)

    def workers(pattern: str = "*") -> list[dict[str, Any]]:
        return [described(hub, name, state) for name, state in hub.all(pattern)]

    def worker(name: str) -> dict[str, Any]:
        try:
            return described(hub, name, hub.get(name))
        except (tearless.NotFoundError, tearless.EmptyError) as error:
            raise HTTPException(404, str(error)) from error

    async def changes(pattern: str = "*", limit: int = 100) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            left = limit
            async for name, state in hub.changes(pattern):
                yield json.dumps(described(hub, name, state)) + "\n"
                left -= 1
                if left <= 0:
                    return
        return StreamingResponse(lines(), media_type="application/x-ndjson")

    app.get("/workers")(workers)
    app.get("/workers/changes")(changes)
    app.get("/workers/{name}")(worker)
    return app


async def serve(app: FastAPI, port: int, seconds: float | None) -> None:
    """Serves until Ctrl-C, or for some seconds."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        print(f"http://127.0.0.1:{listening.getsockname()[1]}/workers", flush=True)
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, setattr, server, "should_exit", True)
        await server.serve(sockets=[listening])


def main() -> None:
    """Reads the options, and serves."""
    parser = argparse.ArgumentParser(description="The states of a fleet as JSON.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--namespace", default="fleet-py")
    options = parser.parse_args()
    asyncio.run(serve(make_app(options.namespace), options.port, options.seconds))


if __name__ == "__main__":
    main()
