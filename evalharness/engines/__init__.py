"""The engines that turn prompts into responses; one module each, opened by `open_engine`."""
