"""What the tools of this home do."""


async def simple_text() -> str:
    return "This is a simple text response for testing."


async def fail() -> None:
    raise ValueError("This tool intentionally returns an error for testing")


async def greet(name: str) -> str:
    return f"Hello, {name}!"


async def accept(**arguments: object) -> dict[str, object]:
    return {"accepted": sorted(arguments)}
