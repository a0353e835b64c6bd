"""The outside world: asyncio lives here and nowhere lower."""
