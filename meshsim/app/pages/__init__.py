"""The pages of the app, one module each with ``render() -> None``."""
