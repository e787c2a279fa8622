"""Where `./brokerctl` begins."""

import os
import sys

if __name__ == "__main__":
    # Run by its path, so that the folder that a person stands in is not searched for modules.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 (pathlib takes 20 ms to load)
    # Looking for plugins reads the metadata of every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

    from cli.app import main

    main()
